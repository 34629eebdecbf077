"""Settings of the Snowflake account, for the loader and dbt alike."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from pipeline.errors import SettingsError
from pipeline.settings import PROJECT, FromEnvironment, in_project, is_this_machine


class SnowflakeSettings(FromEnvironment):
    """The Snowflake account, for the loader and dbt alike.

    Signs in with what is set, in this order: a key pair (``SNOWFLAKE_PRIVATE_KEY_FILE`` or, in the
    environment, ``SNOWFLAKE_PRIVATE_KEY``), a programmatic access token, a password.

    Attributes:
        private_key: the key as PEM, or its Base64 body alone, for places without files.
        private_key_file_pwd: the passphrase of the key, wherever it comes from.
        transform_user: who dbt signs in as; default: ``user``.
        transform_private_key_file, transform_private_key, transform_private_key_file_pwd,
        transform_token: its own, which another user than ``user`` must have.
        marts_warehouse: where dbt builds the marts; default: ``transform_warehouse``, where it does
            everything else.
        host, port, protocol: only for private links and test servers; the connector finds the
            others by the account.
        name_prefix: put before the name of each database, role and warehouse, for a second
            environment in one account.
        part_mb: compressed size of one staged Parquet file, in MiB. Snowflake advises 100 to 250 at
            most.
        parallel_uploads: how many files are uploaded at a time, each over a connection of its own.
        network_timeout_seconds: after it the connector gives up sending a request again; statements
            may run for longer.
        max_tries: of each operation, where the error is a passing one.
    """

    model_config = SettingsConfigDict(env_prefix="SNOWFLAKE_")

    account: str
    user: str
    private_key_file: Path | None = None
    private_key: SecretStr | None = None
    private_key_file_pwd: SecretStr | None = None
    token: SecretStr | None = None
    password: SecretStr | None = None
    transform_user: str | None = None
    transform_private_key_file: Path | None = None
    transform_private_key: SecretStr | None = None
    transform_private_key_file_pwd: SecretStr | None = None
    transform_token: SecretStr | None = None
    load_role: str = "LOADER"
    load_warehouse: str = "LOADING_WH"
    transform_role: str = "TRANSFORMER"
    transform_warehouse: str = "TRANSFORMING_WH"
    marts_warehouse: str | None = None
    name_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")
    host: str | None = None
    port: int | None = None
    protocol: Literal["https", "http"] = "https"
    staging_dir: Path = PROJECT / ".local" / "staged"
    part_mb: int = Field(default=64, ge=1, le=1024)
    parallel_uploads: int = Field(default=4, ge=1, le=16)
    login_timeout_seconds: int = Field(default=30, gt=0)
    network_timeout_seconds: int = Field(default=120, gt=0)
    statement_timeout_seconds: int = Field(default=3600, gt=0)
    max_tries: int = Field(default=4, ge=1)

    @field_validator("staging_dir", "private_key_file", "transform_private_key_file")
    @classmethod
    def _same_path_for_every_process(cls, path: Path | None) -> Path | None:
        return in_project(path) if path else None

    @model_validator(mode="after")
    def _nothing_leaves_unencrypted(self) -> Self:
        if self.protocol == "http" and not (self.host and is_this_machine(self.host)):
            raise ValueError(
                "SNOWFLAKE_PROTOCOL=http is for a test server on this machine (SNOWFLAKE_HOST)"
            )
        return self

    @field_validator("account")
    @classmethod
    def _is_no_address(cls, account: str) -> str:
        if "://" in account or account.endswith(".snowflakecomputing.com"):
            raise ValueError(
                "give the account's identifier alone, such as MYORG-MYACCOUNT, not an address"
            )
        return account

    def as_transformer(self) -> SnowflakeSettings:
        """The same account, signed in to by dbt's own user where one is set."""
        return self.signed_in_by(
            "SNOWFLAKE_TRANSFORM",
            self.transform_user,
            private_key_file=self.transform_private_key_file,
            private_key=self.transform_private_key,
            private_key_file_pwd=self.transform_private_key_file_pwd,
            token=self.transform_token,
        )

    def signed_in_by(
        self,
        variables: str,
        user: str | None,
        *,
        private_key_file: Path | None,
        private_key: SecretStr | None,
        private_key_file_pwd: SecretStr | None,
        token: SecretStr | None,
    ) -> SnowflakeSettings:
        """The same account for another user, with that user's own key or token, never the loader's.

        Whoever has one of them has one role.

        Args:
            variables: what the names of that user's settings begin with.
            user: None for the loader's own.

        Raises:
            SettingsError: it is another user, and nothing of its own is set.
        """
        if private_key_file or private_key or token:
            own = {
                "user": user or self.user,
                "private_key_file": private_key_file,
                "private_key": private_key,
                "private_key_file_pwd": private_key_file_pwd,
                "token": token,
                "password": None,
            }
            return self.model_copy(update=own)
        if user and user.upper() != self.user.upper():
            raise SettingsError(
                f"{variables}_USER is {user}, another user than SNOWFLAKE_USER, so it signs in "
                f"with a key or token of its own: set {variables}_PRIVATE_KEY_FILE, "
                f"{variables}_PRIVATE_KEY or {variables}_TOKEN (docs/snowflake.md, Sign-in)."
            )
        return self

    def named(self, name: str) -> str:
        """The name of a database, role or warehouse in this environment."""
        return f"{self.name_prefix}{name}".upper()
