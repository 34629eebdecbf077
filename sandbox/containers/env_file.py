"""`make env`: the secrets of a deployment of one's own, generated into `.env`. Standard library
only: it runs before set-up.
"""

from __future__ import annotations

import base64
import re
import secrets
from pathlib import Path

HEADING = "\n# --- Secrets of this deployment, generated; to rotate one see docs/operations.md\n"


def fresh() -> dict[str, str]:
    """A value for every secret that the containers share, by the name it has in `.env`."""
    return {
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
        "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
        "AIRFLOW_ADMIN_PASSWORD": secrets.token_urlsafe(12),
        "AIRFLOW_VIEWER_PASSWORD": secrets.token_urlsafe(12),
        "AIRFLOW_DATABASE_PASSWORD": secrets.token_urlsafe(24),
        "REDIS_PASSWORD": secrets.token_urlsafe(24),
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "POSTGRES_SUPERUSER_PASSWORD": secrets.token_urlsafe(24),
    }


def add_secrets(file: Path) -> list[str]:
    """Append the secrets that the file does not set, readable by its owner only; returns their
    names.
    """
    text = file.read_text() if file.exists() else ""
    known = set(re.findall(r"^([A-Z_]+)=.+$", text, re.MULTILINE))
    missing = {name: value for name, value in fresh().items() if name not in known}
    if re.search(r"^POSTGRES_HOST=(?!postgres-source$).+$", text, re.MULTILINE):
        for name in ("POSTGRES_PASSWORD", "POSTGRES_SUPERUSER_PASSWORD"):
            missing.pop(name, None)  # of a database that is not ours
    if missing:
        # An empty line of the example would win over the value: the last one of a name counts, so
        # it may stay above.
        file.touch(mode=0o600)
        file.chmod(0o600)
        file.write_text(
            text + HEADING + "".join(f"{name}={value}\n" for name, value in missing.items())
        )
    return list(missing)
