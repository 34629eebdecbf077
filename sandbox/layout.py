"""Where the sandbox keeps what it makes: below `.local`, the one folder there is to delete."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import cast

from cryptography.fernet import Fernet

from pipeline.settings import PROJECT


class Layout:
    """The sandbox's folders below ``root``, and what is generated for it."""

    def __init__(self, root: Path = PROJECT / ".local") -> None:
        self.root = root
        self.run = root / "run"  # what runs now: one file per process
        self.logs = root / "logs"
        self.postgres = root / "postgres"
        self.airflow_home = root / "airflow"
        self.warehouse = root / "warehouse"
        self.csv_inbox = root / "csv_inbox"
        self.stripe = root / "stripe"
        self.slack = root / "slack"
        self.env_file = root / "sandbox.env"  # the settings, for commands from a shell

    @cached_property
    def generated(self) -> dict[str, str]:
        """Keys, passwords and the first scheduled day, generated once, for their owner only."""
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
        folders = (self.run, self.logs, self.airflow_home, self.warehouse, self.csv_inbox)
        for folder in (*folders, self.stripe, self.slack):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)  # one that an earlier version made, too
