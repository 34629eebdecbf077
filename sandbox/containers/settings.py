"""What `.env` may say about the containers; Docker Compose reads the same names for its own
part.
"""

from __future__ import annotations

from ipaddress import ip_address

from pydantic import Field, SecretStr, model_validator

from pipeline.settings import FromEnvironment

OWN_SOURCE = "postgres-source"  # the service with the demo shop's database
READER = "pipeline_reader"  # as whom the pipeline reads it; docker-compose.yml says so too
SHORTEST_PASSWORD = 12


class ContainerSettings(FromEnvironment):
    """All optional. Secrets that are not set are generated at the first start and kept in the
    volume `config`.

    ``SettingsError`` for a password that can be guessed where others can reach the containers
    (``BIND_ADDRESS``).
    """

    bind_address: str = "127.0.0.1"
    airflow_port: int = 8080
    source_port: int = 5432
    slack_inbox_port: int = 12180
    business_view_port: int = 8501
    pipeline_image: str = "ecommerce-pipeline:local"
    scheduler_memory: str = "4g"
    demo_scale: float = Field(default=0.1, gt=0)
    fernet_key: SecretStr | None = Field(default=None, validation_alias="AIRFLOW__CORE__FERNET_KEY")
    jwt_secret: SecretStr | None = Field(
        default=None, validation_alias="AIRFLOW__API_AUTH__JWT_SECRET"
    )
    api_secret: SecretStr | None = Field(default=None, validation_alias="AIRFLOW__API__SECRET_KEY")
    airflow_admin_password: SecretStr | None = None
    airflow_viewer_password: SecretStr | None = None
    airflow_database_password: SecretStr | None = None
    redis_password: SecretStr | None = None
    superuser_password: SecretStr | None = Field(
        default=None, validation_alias="POSTGRES_SUPERUSER_PASSWORD"
    )

    @model_validator(mode="after")
    def _nobody_guesses_a_password(self) -> ContainerSettings:
        if self.bind_address == "localhost" or ip_address(self.bind_address).is_loopback:
            return self
        for name in ("airflow_admin_password", "airflow_viewer_password"):
            password: SecretStr | None = getattr(self, name)
            if password is not None and len(password.get_secret_value()) < SHORTEST_PASSWORD:
                raise ValueError(
                    f"{name.upper()} has fewer than {SHORTEST_PASSWORD} characters, and "
                    f"BIND_ADDRESS={self.bind_address} lets "
                    "others reach the sign-in; take a longer one, or remove the line: then one is "
                    "generated"
                )
        return self


class RealSystems(FromEnvironment):
    """Which systems `.env` names; where it does not, the embedded one takes the place."""

    postgres_host: str = OWN_SOURCE
    postgres_password: SecretStr | None = None
    stripe_api_key: SecretStr | None = None
    slack_webhook_url: SecretStr | None = None
    csv_inbox: str = ""

    @property
    def source_is_embedded(self) -> bool:
        return self.postgres_host == OWN_SOURCE
