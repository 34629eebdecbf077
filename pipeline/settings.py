"""Settings, typed and checked, from the environment and `.env`; built once, on first use.

The environment wins over the file. The file is `.env` in the project's folder, or the one
``ECOMMERCE_ENV_FILE`` names; without either, the file that a running sandbox wrote, so that shell
commands work beside `make demo`.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime, time
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.errors import SettingsError

PROJECT = Path(__file__).resolve().parent.parent
SANDBOX_ENV_FILE = PROJECT / ".local" / "sandbox.env"


def in_project(path: Path) -> Path:
    """A relative path is one in the project, whatever folder the process runs in: tasks and shells
    share their settings.
    """
    return PROJECT / path.expanduser()


def is_this_machine(host: str) -> bool:
    """A name or address that never leaves this machine, a socket's folder included."""
    if host in ("", "localhost") or host.startswith("/"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class FromEnvironment(BaseSettings):
    """Base of all settings: an empty variable is one that is not set, an unknown one is somebody
    else's.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)


class ScheduleSettings(FromEnvironment):
    """When the pipeline runs, times in UTC.

    Attributes:
        run_at: HH:MM at which the six loads of the current day are started. What a day holds does
            not depend on it: all sources are cut at 06:00 UTC of the day, so a time before 06:00
            loads the day that began at 06:00 the day before.
        start_date: from which day on the schedules count. With a day in the past, a new
            installation runs the current day.
        most_days_back: how old a day may be that is asked for: a year mistyped is no day to load.
    """

    model_config = SettingsConfigDict(env_prefix="PIPELINE_")

    run_at: str = "06:00"
    start_date: str = "2026-01-01"
    most_days_back: int = Field(default=1830, gt=0)

    @field_validator("run_at")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
            raise ValueError(
                f"{text!r} is no time of the day; give it as HH:MM in UTC, for example 06:00"
            )
        return text

    @field_validator("start_date")
    @classmethod
    def _is_a_day(cls, text: str) -> str:
        try:
            date.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is no day; give it as YYYY-MM-DD") from None
        return text

    @property
    def time_to_run(self) -> time:
        return time.fromisoformat(self.run_at)

    @property
    def first_moment(self) -> datetime:
        """Midnight UTC of ``start_date``, with its zone."""
        return datetime.combine(date.fromisoformat(self.start_date), time(), UTC)


Model = TypeVar("Model", bound=FromEnvironment)


def env_file() -> Path | None:
    """The file settings are read from, whether or not the one that was named is there."""
    named = os.environ.get("ECOMMERCE_ENV_FILE")
    if named:
        return Path(named)
    for candidate in (PROJECT / ".env", SANDBOX_ENV_FILE):
        if candidate.exists():
            return candidate
    return None


def _variable(model: type[FromEnvironment], name: str) -> str:
    return f"{model.model_config.get('env_prefix', '')}{name}".upper()


@cache
def settings(model: type[Model]) -> Model:
    """The settings of one kind, read on first use; ``SettingsError`` names each variable that is
    missing or wrong.

    ``settings.cache_clear()`` makes the next call read again.
    """
    file = env_file()
    if file and (file.is_dir() or not file.exists()):
        raise SettingsError(
            f"ECOMMERCE_ENV_FILE names {file}, which is no file. Correct it or unset it."
        )
    try:
        return model(_env_file=file)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"The settings file {file} cannot be read: {reason}.") from None
    except ValidationError as error:
        problems = []
        for problem in error.errors(include_input=False):
            variable = (
                _variable(model, str(problem["loc"][0])) if problem["loc"] else model.__name__
            )
            missing = problem["type"] == "missing"
            problems.append(
                f"{variable} is not set" if missing else f"{variable}: {problem['msg']}"
            )
        raise SettingsError(
            f"{'; '.join(problems)}. Set it in the environment or in .env (see .env.example)."
        ) from None
