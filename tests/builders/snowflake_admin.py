"""SQL as the administrator of a real Snowflake account."""

from __future__ import annotations

from pipeline.settings import settings
from warehouse.snowflake.settings import SnowflakeSettings


def run_as_admin(found: list[str]) -> None:
    """As the user of the settings, in whatever role the statements choose."""
    import snowflake.connector

    from warehouse.snowflake.sign_in import sign_in

    given = settings(SnowflakeSettings)
    arguments = {"account": given.account, "user": given.user, **sign_in(given).arguments()}
    with snowflake.connector.connect(**arguments) as connection:
        for statement in found:
            connection.cursor().execute(statement)
