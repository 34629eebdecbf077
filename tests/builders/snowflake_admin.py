"""SQL as the administrator of a real Snowflake account, and what a run on it has proven."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any

from pipeline.settings import settings
from warehouse.snowflake.settings import SnowflakeSettings


@contextmanager
def _administrator() -> Iterator[Any]:
    import snowflake.connector

    from warehouse.snowflake.sign_in import sign_in

    given = settings(SnowflakeSettings)
    arguments = {"account": given.account, "user": given.user, **sign_in(given).arguments()}
    with snowflake.connector.connect(**arguments) as connection:
        yield connection.cursor()


def run_as_admin(found: list[str]) -> None:
    """As the user of the settings, in whatever role the statements choose."""
    with _administrator() as cursor:
        for statement in found:
            cursor.execute(statement)


def about_the_account(raw_database: str) -> str:
    """Version, region and edition.

    More than one day of Time Travel needs the Enterprise edition:
    https://docs.snowflake.com/en/user-guide/intro-editions.
    """
    import snowflake.connector.errors

    with _administrator() as cursor:
        cursor.execute("select current_version(), current_region()")
        version, region = cursor.fetchone()
        cursor.execute("use role SYSADMIN")
        try:
            table = f"{raw_database}.LOADS.EDITION"
            cursor.execute(f"create table {table} (a integer) data_retention_time_in_days = 2")
            edition = "Enterprise edition or higher"
        except snowflake.connector.errors.ProgrammingError:
            edition = "Standard edition"
    return f"Snowflake {version}, {edition}, {region}"


def proven(account: str, on: date, outcomes: Mapping[str, str], seconds: float) -> str:
    """What a run has shown, as a section for docs/snowflake.md.

    Args:
        outcomes: of each test by its node id: passed, failed, error or skipped.
    """
    passed = sum(outcome == "passed" for outcome in outcomes.values())
    lines = [
        f"### {on}: {passed} of {len(outcomes)} proven on {account}",
        "",
        f"`make test-snowflake`, {seconds / 60:.0f} minutes.",
        "",
        "| what | |",
        "|---|---|",
    ]
    for node, outcome in sorted(outcomes.items(), key=lambda item: (item[1] == "passed", item[0])):
        name = node.rpartition("::")[2].removeprefix("test_").replace("_", " ")
        lines.append(f"| {name} | {outcome} |")
    return "\n".join(lines)
