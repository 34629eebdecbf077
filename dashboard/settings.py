"""Who the business view is on Snowflake: an analyst, who may read published marts only."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from pipeline.settings import FromEnvironment, in_project


class ReportSettings(FromEnvironment):
    """Read with ``WAREHOUSE_KIND=snowflake`` only; the account is that of ``SnowflakeSettings``.

    Attributes:
        user: who the business view signs in as; default: ``SNOWFLAKE_USER``.
        private_key_file, private_key, private_key_file_pwd, token: that user's own; another user
            than ``SNOWFLAKE_USER`` must have them.
    """

    model_config = SettingsConfigDict(env_prefix="SNOWFLAKE_REPORT_")

    user: str | None = None
    private_key_file: Path | None = None
    private_key: SecretStr | None = None
    private_key_file_pwd: SecretStr | None = None
    token: SecretStr | None = None
    role: str = "ANALYST"
    warehouse: str = "REPORTING_WH"

    @field_validator("private_key_file")
    @classmethod
    def _same_path_for_every_process(cls, path: Path | None) -> Path | None:
        return in_project(path) if path else None
