"""Sets the Snowflake account up.

``python -m infrastructure.snowflake apply --connection admin [--dry-run]``

Signs in as a person who may use ACCOUNTADMIN, by a connection of ~/.snowflake/connections.toml. All
statements can be run any number of times. ``destroy`` takes an environment with a prefix away
again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from infrastructure.snowflake.statements import (
    FOLDER,
    USERS,
    Account,
    public_key_body,
    read,
    statements,
)

DONE, FAILED = 0, 1


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m infrastructure.snowflake", description="The Snowflake account as code."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in {
        "apply": "make everything, or bring it up to date",
        "destroy": "remove an environment with a prefix",
    }.items():
        command = commands.add_parser(name, help=text)
        command.add_argument(
            "--dry-run", action="store_true", help="print the statements instead of running them"
        )
        command.add_argument(
            "--connection", metavar="NAME", help="connection in ~/.snowflake/connections.toml"
        )
        command.add_argument("--prefix", default="", help="before every name, such as TEST_")
    apply = commands.choices["apply"]
    apply.add_argument(
        "--allow-ip",
        action="append",
        default=[],
        metavar="CIDR",
        help="from where services sign in; repeatable",
    )
    apply.add_argument(
        "--public-key",
        action="append",
        default=[],
        metavar="USER=FILE",
        help=f"key of a service user ({', '.join(USERS)})",
    )
    for warehouse in ("loading", "transforming", "reporting"):
        default = getattr(Account(), f"{warehouse}_credits")
        apply.add_argument(
            f"--{warehouse}-credits", type=int, default=default, help=f"a month, default {default}"
        )
    apply.add_argument(
        "--retention-days",
        type=int,
        default=1,
        help="of Time Travel; more than 1 needs the Enterprise edition",
    )
    return parser.parse_args(arguments)


def _account(options: argparse.Namespace) -> Account:
    if options.command == "destroy":
        if not options.prefix:
            raise ValueError("destroy needs a --prefix: production is not taken away by a command")
        return Account(prefix=options.prefix)
    keys = {}
    for given in options.public_key:
        user, _, file = given.partition("=")
        try:
            keys[user.upper()] = public_key_body(Path(file).read_text())
        except (OSError, ValueError) as error:
            raise ValueError(f"--public-key {user}: {error}") from None
    return Account(
        prefix=options.prefix,
        loading_credits=options.loading_credits,
        transforming_credits=options.transforming_credits,
        reporting_credits=options.reporting_credits,
        retention_days=options.retention_days,
        allowed_ips=tuple(options.allow_ip),
        public_keys=keys,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    options = _arguments(arguments)
    try:
        account = _account(options)
        wanted = (
            list(read(FOLDER / "destroy.sql", account))
            if options.command == "destroy"
            else statements(account)
        )
    except ValueError as error:
        print(f"{error}.", file=sys.stderr)
        return FAILED
    if options.dry_run:
        print(";\n".join(wanted) + ";")
        return DONE
    if not options.connection:
        print(
            "Say who signs in: --connection NAME, of ~/.snowflake/connections.toml; or --dry-run.",
            file=sys.stderr,
        )
        return FAILED
    return run(wanted, options.connection)


def run(wanted: Sequence[str], connection_name: str) -> int:
    """Run the statements one after the other; stops at the first that fails, and says which."""
    import snowflake.connector
    import snowflake.connector.errors

    with snowflake.connector.connect(connection_name=connection_name) as connection:
        for number, statement in enumerate(wanted, start=1):
            first_line = statement.splitlines()[0][:110]
            try:
                connection.cursor().execute(statement)
            except snowflake.connector.errors.Error as error:
                print(f"{number}/{len(wanted)} failed: {first_line}\n{error}", file=sys.stderr)
                return FAILED
            print(f"{number}/{len(wanted)} {first_line}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
