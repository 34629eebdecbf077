"""Who the business view is on Snowflake: an analyst, who may read published marts and nothing
else.
"""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from pipeline.settings import FromEnvironment


class ReportSettings(FromEnvironment):
    """Read with ``WAREHOUSE_KIND=snowflake`` only; account and key are those of
    ``SnowflakeSettings``.

    Attributes:
        user: who the business view signs in as, with the same key; default: ``SNOWFLAKE_USER``.
    """

    model_config = SettingsConfigDict(env_prefix="SNOWFLAKE_REPORT_")

    user: str | None = None
    role: str = "ANALYST"
    warehouse: str = "REPORTING_WH"
