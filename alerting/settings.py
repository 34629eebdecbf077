"""Where alerts go and what their links point to, from the environment and `.env`."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field, SecretStr

from pipeline.settings import FromEnvironment, settings
from warehouse.settings import WarehouseSettings


class AlertingSettings(FromEnvironment):
    """All optional: without ``SLACK_WEBHOOK_URL`` alerts are logged only.

    ``ALERT_WEBHOOK_URL`` receives every alert as plain JSON as well. ``ALERTS_DATABASE_URL`` is
    where sent alerts are
    remembered, so that none is sent twice: by default a SQLite file in ``WAREHOUSE_DUCKDB_DIR``;
    with workers on several machines a PostgreSQL URL that all of them reach. ``RUNBOOK_URL`` is
    where people read docs/runbook.md: by default the page Pipeline serves it.
    """

    slack_webhook_url: SecretStr | None = None
    slack_bot_token: SecretStr | None = None
    slack_channel: str | None = None  # its id, such as C0123456789
    slack_api_url: str = "https://slack.com/api/"
    alert_webhook_url: SecretStr | None = None
    # Settled days whose revenue changes by more than this share are named in the green message.
    alert_restated_share: float = Field(default=0.005, ge=0)
    alert_apprise_urls: SecretStr | None = None  # separated by white space
    pagerduty_routing_key: SecretStr | None = None
    pagerduty_url: str = "https://events.pagerduty.com"
    heartbeat_url: SecretStr | None = None  # called by the monitor each morning
    alert_timeout_seconds: int = Field(default=10, gt=0)  # for one request to a channel
    airflow_ui_url: str = Field(
        default="http://localhost:8080",
        validation_alias=AliasChoices("AIRFLOW_UI_URL", "AIRFLOW__API__BASE_URL"),
    )
    runbook_url: str | None = None
    alerts_database_url: SecretStr | None = None

    # A day far outside its bands: what becomes of it when nobody answers within so many hours.
    doubtful_day: Literal["hold", "publish"] = "hold"
    doubtful_day_hours: float = Field(default=4, gt=0)
    doubtful_day_factor: float = Field(default=5, gt=1)  # how far from the median is far

    def runbook(self) -> str:
        """Address of the runbook's page."""
        return self.runbook_url or f"{self.airflow_ui_url.rstrip('/')}/pipeline/runbook"

    def store_url(self) -> str:
        if self.alerts_database_url is not None:
            return self.alerts_database_url.get_secret_value()
        return f"sqlite:///{settings(WarehouseSettings).duckdb_dir / 'alerts.sqlite'}"
