"""Where the sandbox keeps what it makes: everything under `.local`, so that one folder is all there
is to delete.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import cast

from cryptography.fernet import Fernet

from pipeline.settings import PROJECT


@dataclass(frozen=True)
class Layout:
    """The sandbox's folders and what is generated for it. ``root`` is `.local` in the project
    unless a test says otherwise.
    """

    root: Path = PROJECT / ".local"

    @property
    def run(self) -> Path:
        """What runs now: one file per process."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def airflow_home(self) -> Path:
        return self.root / "airflow"

    @property
    def warehouse(self) -> Path:
        return self.root / "warehouse"

    @property
    def csv_inbox(self) -> Path:
        return self.root / "csv_inbox"

    @property
    def stripe(self) -> Path:
        return self.root / "stripe"

    @property
    def slack(self) -> Path:
        return self.root / "slack"

    @property
    def env_file(self) -> Path:
        """The settings of the running sandbox; shell commands find them there."""
        return self.root / "sandbox.env"

    @cached_property
    def generated(self) -> dict[str, str]:
        """Keys, passwords and the first scheduled day: generated once, readable by their owner
        only.
        """
        path = self.root / "generated.json"
        if not path.exists():
            self.root.mkdir(parents=True, exist_ok=True)
            fresh = {
                "fernet_key": Fernet.generate_key().decode(),
                "jwt_secret": secrets.token_urlsafe(64),
                "api_secret": secrets.token_urlsafe(32),
                "admin_password": secrets.token_urlsafe(9),
                "viewer_password": secrets.token_urlsafe(9),
                "stripe_key": f"sk_test_{secrets.token_hex(12)}",
                # The schedules start tomorrow: what runs today, the demo has triggered.
                "start_date": (datetime.now(UTC) + timedelta(days=1)).date().isoformat(),
            }
            path.touch(mode=0o600)
            path.write_text(json.dumps(fresh, indent=1))
        return cast("dict[str, str]", json.loads(path.read_text()))

    def make(self) -> None:
        for folder in (
            self.run,
            self.logs,
            self.airflow_home,
            self.warehouse,
            self.csv_inbox,
            self.stripe,
            self.slack,
        ):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)  # one that an earlier version made, too
