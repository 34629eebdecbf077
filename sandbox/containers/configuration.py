"""Writes what the containers start with: Airflow's keys and passwords, the executor, the addresses
of the stand-ins.

Secrets come from `.env`; those that are missing are generated once and kept in the volume. What is
written here is read by Airflow (`airflow.cfg`, the file of passwords), by the pipeline
(`pipeline.env`), by the demo shop, PostgreSQL and Redis, each from a volume of its own; what `.env`
says reaches Airflow's containers as environment, which wins over these files.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from cryptography.fernet import Fernet
from pydantic import SecretStr

from pipeline.errors import SettingsError
from sandbox.containers.settings import SHORTEST_PASSWORD, ContainerSettings, RealSystems

STRIPE_EMULATOR = "http://stripe-emulator:12111"
SLACK_INBOX = "http://slack-inbox:12180"
EXECUTORS = ("LocalExecutor", "CeleryExecutor")


def fresh_secrets() -> dict[str, str]:
    """New values of everything that must be secret."""
    return {
        "fernet_key": Fernet.generate_key().decode(),
        "jwt_secret": secrets.token_urlsafe(64),
        "api_secret": secrets.token_urlsafe(32),
        "airflow_admin_password": secrets.token_urlsafe(12),
        "airflow_viewer_password": secrets.token_urlsafe(12),
        "airflow_database_password": secrets.token_urlsafe(24),
        "redis_password": secrets.token_urlsafe(24),
        "postgres_password": secrets.token_urlsafe(24),
        "superuser_password": secrets.token_urlsafe(24),
        "stripe_api_key": f"sk_test_{secrets.token_hex(12)}",
    }


def configure(
    folder: Path,
    passwords: Path,
    containers: ContainerSettings,
    real: RealSystems,
    executor: str = EXECUTORS[0],
) -> dict[str, str]:
    """Write the files; the same secrets at every call unless `.env` changes them. Returns the
    secrets in use.

    Args:
        folder: for Airflow and the pipeline (volume `config`).
        passwords: with a folder for each of the two databases and Redis, volumes of their own.
        executor: of Airflow.

    Raises:
        SettingsError: the source database can be reached by others and its password can be guessed.
    """
    generated = folder / "generated.json"
    before = json.loads(generated.read_text()) if generated.exists() else {}
    kept = {**fresh_secrets(), **before}
    if before and "superuser_password" not in before:
        # Of a release in which the pipeline read as the superuser: that one keeps its password.
        own = real.postgres_password if real.source_is_embedded else None
        kept["superuser_password"] = own.get_secret_value() if own else kept["postgres_password"]
        kept["postgres_password"] = secrets.token_urlsafe(24)
    _write(generated, json.dumps(kept, indent=1))
    used = {**kept, **_given(containers, kept)}
    if real.source_is_embedded and real.postgres_password is not None:
        used["postgres_password"] = real.postgres_password.get_secret_value()
        if (
            len(used["postgres_password"]) < SHORTEST_PASSWORD
            and containers.bind_address != "127.0.0.1"
        ):
            raise SettingsError(
                f"POSTGRES_PASSWORD has fewer than {SHORTEST_PASSWORD} characters, and "
                f"BIND_ADDRESS={containers.bind_address} "
                "lets others reach the database. Take a longer one, or remove the line: then one "
                "is generated."
            )

    _write(folder / "airflow.cfg", airflow_cfg(used, executor))
    users = {"admin": used["airflow_admin_password"], "viewer": used["airflow_viewer_password"]}
    _write(folder / "passwords.json", json.dumps(users))
    _write(folder / "pipeline.env", _lines(stand_ins(used, real)))
    # PostgreSQL and Redis run as users of their own; nobody else mounts their volumes.
    _write(passwords / "source" / "password", used["superuser_password"], mode=0o644)
    _write(passwords / "source" / "shop.env", _lines(shop_settings(used)), mode=0o644)
    _write(passwords / "airflow" / "password", used["airflow_database_password"], mode=0o644)
    _write(
        passwords / "redis" / "redis.conf",
        f"requirepass {used['redis_password']}\ndir /data\nappendonly yes\n",
        mode=0o644,
    )
    return used


def airflow_cfg(used: Mapping[str, str], executor: str) -> str:
    """The part of Airflow's configuration that is secret, and the executor."""
    metadata = (
        f"airflow:{quote(used['airflow_database_password'], safe='')}@postgres-airflow:5432/airflow"
    )
    sections = {
        "core": {"executor": executor, "fernet_key": used["fernet_key"]},
        "database": {"sql_alchemy_conn": f"postgresql+psycopg2://{metadata}"},
        "api": {"secret_key": used["api_secret"]},
        "api_auth": {"jwt_secret": used["jwt_secret"]},
        "celery": {
            "broker_url": f"redis://:{quote(used['redis_password'], safe='')}@redis:6379/0",
            "result_backend": f"db+postgresql+psycopg2://{metadata}",
        },
    }
    lines = []
    for section, options in sections.items():
        lines += [
            f"[{section}]",
            *(f"{name} = {value.replace('%', '%%')}" for name, value in options.items()),
            "",
        ]
    return "\n".join(lines)


def stand_ins(used: Mapping[str, str], real: RealSystems) -> dict[str, str]:
    """The pipeline's settings for each system that `.env` does not name."""
    found = {}
    if real.source_is_embedded:
        found["POSTGRES_PASSWORD"] = used["postgres_password"]
    if real.stripe_api_key is None:
        found |= {"STRIPE_API_KEY": used["stripe_api_key"], "STRIPE_API_BASE": STRIPE_EMULATOR}
    if real.slack_webhook_url is None:
        found["SLACK_WEBHOOK_URL"] = f"{SLACK_INBOX}/services/T0SANDBOX/B0SANDBOX/pipeline"
    return found


def shop_settings(used: Mapping[str, str]) -> dict[str, str]:
    """How the demo shop signs in to its own systems, and the password of the pipeline's role."""
    return {
        "POSTGRES_USER": "postgres",
        "POSTGRES_PASSWORD": used["superuser_password"],
        "STRIPE_API_KEY": used["stripe_api_key"],
        "STRIPE_API_BASE": STRIPE_EMULATOR,
        "READER_PASSWORD": used["postgres_password"],
    }


def _lines(settings: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _given(containers: ContainerSettings, names: Mapping[str, str]) -> dict[str, str]:
    values = {name: getattr(containers, name, None) for name in names}
    return {
        name: value.get_secret_value()
        for name, value in values.items()
        if isinstance(value, SecretStr)
    }


def _write(path: Path, text: str, mode: int = 0o600) -> None:
    """Whole or not at all: somebody may be reading."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.touch(mode=mode)
    unfinished.chmod(mode)
    unfinished.write_text(text)
    unfinished.replace(path)
