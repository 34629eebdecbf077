"""Which Airflow to talk to, and as whom; a running sandbox writes it into its settings file."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from pipeline.settings import FromEnvironment


class AirflowApiSettings(FromEnvironment):
    """Airflow's REST API.

    A deployment that hands out tokens needs ``AIRFLOW_API_TOKEN`` only; else user and password sign
    in.
    """

    model_config = SettingsConfigDict(env_prefix="AIRFLOW_API_")

    url: str = "http://localhost:8080"
    user: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None
