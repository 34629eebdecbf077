"""Rights of the double's roles: those that the statements of infrastructure/snowflake grant.

https://docs.snowflake.com/en/user-guide/security-access-control-privileges and the section "Access
control requirements" of each statement's page:

- Whoever reads a table or view needs SELECT on it and USAGE on its schema and database.
- Whoever creates something needs CREATE TABLE (VIEW, STAGE) on the schema, CREATE SCHEMA on the
  database, and owns what was made. OWNERSHIP is needed to change, replace, drop, rename, swap or
  grant it; a clone needs SELECT on what is cloned.
- ``create schema if not exists`` needs CREATE SCHEMA even where there is one.
- A session works in a virtual warehouse on which its role has USAGE.
- What a role may not see does not exist for it: error 002003. Else 003001.

A session without a role, and a role that is not one of these, may do anything: an administrator.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import snowflake.connector.errors
from sqlglot import exp

if TYPE_CHECKING:
    from tests.snowflake_double.sessions import OpenSession

ROLES = ("LOADER", "TRANSFORMER", "ANALYST", "ADMIN", "DEVELOPER")
_GRANT = re.compile(
    r"grant (?P<what>[\w ,]+?) on (?:(?P<of>all|future) (?P<kinds>\w+) in )?"
    r"(?P<kind>\w+) (?P<name>[\w.]+) to role (?P<role>\w+)",
    re.IGNORECASE,
)
_GRANT_ROLE = re.compile(r"grant role (\w+) to role (\w+)", re.IGNORECASE)
_SCHEMAS = re.compile(
    r"\s*alter\s+schema\s+(?:if\s+exists\s+)?(\S+)\s+(swap\s+with|rename\s+to)\s+(\S+)",
    re.IGNORECASE,
)

Name = tuple[str, ...]  # database, schema, table


class Rights:
    """Grants of the account, and who owns what was made since."""

    def __init__(self, statements: Iterable[str]) -> None:
        self._of_account = list(statements)
        self.forget()

    def forget(self, loaders: Iterable[Name] = ()) -> None:
        """As infrastructure/snowflake leaves it, and what the loader owns."""
        self._granted: set[tuple[str, str, str]] = set()  # role, privilege, object or "tables in X"
        self._members: dict[str, set[str]] = {}
        self._owners: dict[Name, str] = dict.fromkeys(loaders, "LOADER")
        for statement in self._of_account:
            if match := _GRANT_ROLE.match(statement):
                self._members.setdefault(match[2].upper(), set()).add(match[1].upper())
            else:
                self._grant(statement, None)

    def owned_by(self, role: str) -> set[Name]:
        return {name for name, owner in self._owners.items() if owner == role}

    def check(
        self, session: OpenSession, database: str | None, statement: exp.Expr, command: str
    ) -> None:
        """Refuse what the session's role may not do, and note what it makes and grants."""
        role = session.role
        if role not in ROLES:
            return
        for name in _read(statement, database):
            self._may_read(role, name)
        if isinstance(statement, exp.Create):
            self._create(role, statement, database)
        elif isinstance(statement, exp.Drop):
            for table in statement.args.get("tables") or [statement.this]:
                self._must_own(role, _name(table, database, str(statement.kind)), "drop")
        elif isinstance(statement, exp.Alter) and str(statement.kind).upper() == "TABLE":
            self._must_own(role, _name(statement.this, database), "alter")
        elif isinstance(statement, exp.Insert | exp.Update | exp.Delete | exp.Merge | exp.Copy):
            target = (
                statement.this.this if isinstance(statement.this, exp.Schema) else statement.this
            )
            self._must_own(role, _name(target, database), "write to")
        elif (
            isinstance(statement, exp.Use)
            and str(statement.args.get("kind")).upper() == "WAREHOUSE"
        ):
            if not self._has(role, "USAGE", statement.this.name.upper()):
                _refuse(2043, f"Warehouse {statement.this.name} does not exist or not authorized")
        elif match := _SCHEMAS.match(command):
            self._exchange(role, database, *match.groups())
        elif _GRANT.match(command):
            self._grant(command, database, by=role)

    def _roles(self, role: str) -> Iterator[str]:
        yield role
        for member in self._members.get(role, ()):
            yield from self._roles(member)

    def _has(self, role: str, privilege: str, on: str) -> bool:
        return any((each, privilege, on) in self._granted for each in self._roles(role))

    def _owns(self, role: str, name: Name) -> bool:
        return self._owners.get(name) in set(self._roles(role))

    def _may_use(self, role: str, name: Name) -> bool:
        """Database and schema of a name."""
        schema = ".".join(name[:2])
        return self._has(role, "USAGE", name[0]) and (
            len(name) == 1
            or name[1] == "INFORMATION_SCHEMA"
            or self._has(role, "USAGE", schema)
            or self._has(role, "USAGE", f"schemas in {name[0]}")
            or self._owns(role, name[:2])
        )

    def _may_read(self, role: str, name: Name) -> None:
        if self._may_use(role, name) and (
            name[1] == "INFORMATION_SCHEMA"
            or self._owns(role, name)
            or self._has(role, "SELECT", ".".join(name))
            or self._has(role, "SELECT", f"tables in {name[0]}")
            or self._has(role, "SELECT", f"tables in {'.'.join(name[:2])}")
        ):
            return
        _refuse(2003, f"Object {'.'.join(name)} does not exist or {role} is not authorized")

    def _must_own(self, role: str, name: Name, what: str) -> None:
        if name not in self._owners:
            return  # not there, or made behind everybody's back
        if not self._may_use(role, name):
            _refuse(2003, f"Object {'.'.join(name)} does not exist or {role} is not authorized")
        if not self._owns(role, name):
            _refuse(3001, f"Insufficient privileges: {role} may not {what} {'.'.join(name)}")

    def _create(self, role: str, statement: exp.Create, database: str | None) -> None:
        kind = str(statement.kind).upper()
        target = statement.this.this if isinstance(statement.this, exp.Schema) else statement.this
        name = _name(target, database, kind)
        if kind == "SCHEMA":
            if not self._has(role, "CREATE SCHEMA", name[0]):
                _refuse(
                    3001, f"Insufficient privileges: {role} may not create a schema in {name[0]}"
                )
        else:
            if not self._may_use(role, name):
                _refuse(2003, f"Schema {'.'.join(name[:2])} does not exist or not authorized")
            on = ".".join(name[:2])
            if not (self._has(role, f"CREATE {kind}", on) or self._owns(role, name[:2])):
                _refuse(3001, f"Insufficient privileges: {role} may not create a {kind} in {on}")
            if statement.args.get("replace"):
                self._must_own(role, name, "replace")
        clone = statement.args.get("clone")
        if clone is not None:
            self._may_read(role, _name(clone.this, database))
        if name not in self._owners or statement.args.get("replace"):
            self._owners[name] = role

    def _exchange(self, role: str, database: str | None, first: str, how: str, second: str) -> None:
        names = [
            (str(database), re.sub(r'[";]', "", n).upper().split(".")[-1]) for n in (first, second)
        ]
        self._must_own(role, names[0], "swap or rename")
        if how.lower().startswith("swap"):
            self._must_own(role, names[1], "swap")
        moved = {
            one: other
            for a, b in (names, names[::-1])
            for one in list(self._owners)
            if one[:2] == a
            for other in [(*b, *one[2:])]
        }
        owners = {moved.get(name, name): owner for name, owner in self._owners.items()}
        rights = {".".join(a): ".".join(b) for a, b in (names, names[::-1])}
        rights |= {".".join(a): ".".join(b) for a, b in moved.items()}
        rights |= {f"tables in {a}": f"tables in {b}" for a, b in rights.items()}
        self._granted = {(r, p, rights.get(on, on)) for r, p, on in self._granted}
        self._owners = owners

    def _grant(self, statement: str, database: str | None, by: str | None = None) -> None:
        match = _GRANT.match(statement)
        if match is None or match["what"].lower().startswith("database role"):
            return
        name = match["name"].upper()
        if match["kind"].lower() == "schema" and "." not in name:
            name = f"{database}.{name}"
        if by is not None:
            self._must_own(by, tuple(name.split(".")), "grant rights on")
        for what in match["what"].upper().split(","):
            if match["of"] == "all" and by is not None:
                for owned in [each for each in self._owners if ".".join(each[:2]) == name]:
                    if len(owned) == 3:
                        self._granted.add((match["role"].upper(), what.strip(), ".".join(owned)))
            elif match["of"]:
                self._granted.add(
                    (match["role"].upper(), what.strip(), f"{match['kinds'].lower()} in {name}")
                )
            else:
                self._granted.add((match["role"].upper(), what.strip(), name))


def _read(statement: exp.Expr, database: str | None) -> set[Name]:
    """Tables that a statement reads, without those it only writes to, and without its CTEs."""
    queries: Sequence[exp.Expr] = [statement]
    if isinstance(statement, exp.Create | exp.Insert):
        queries = [statement.expression] if statement.expression else []
    elif isinstance(statement, exp.Merge):
        queries = [statement.args["using"]]
    elif isinstance(statement, exp.Update | exp.Delete):
        queries = [statement.args["where"]] if statement.args.get("where") else []
    elif not isinstance(statement, exp.Query):
        return set()
    found = set()
    for query in queries:
        named = {cte.alias.upper() for cte in statement.find_all(exp.CTE)}
        for table in query.find_all(exp.Table):
            if isinstance(table.this, exp.Identifier) and not (
                not table.db and table.name.upper() in named
            ):
                name = _name(table, database)
                if len(name) == 3 and all(name):
                    found.add(name)
    return found


def _name(table: exp.Expr, database: str | None, kind: str = "TABLE") -> Name:
    parts = [table.args.get("catalog"), table.args.get("db"), table.args.get("this")]
    names = [part.name if part.quoted else part.name.upper() for part in parts if part is not None]
    if kind.upper() == "SCHEMA":
        names = [n for n in names if n]
        return tuple(names[-2:]) if len(names) > 1 else (str(database), names[-1])
    return tuple(names) if len(names) == 3 else (str(database), *names)


def _refuse(number: int, text: str) -> None:
    raise snowflake.connector.errors.ProgrammingError(msg=text, errno=number, sqlstate="42501")
