"""Rules that every statement for Snowflake keeps, asked of sqlglot's tree.

``refused`` are what Snowflake's compiler does not know: the double answers with its error 001003.
``findings`` adds what it takes and what does harm later. sqlglot reads both, so a statement that it
parses proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.tokens import TokenType

from tests.snowflake_double.vocabulary import FUNCTIONS, RESERVED, SYNTAX


@lru_cache(maxsize=4096)
def _parsed(text: str) -> exp.Expr:
    statement = sqlglot.parse_one(text, dialect="snowflake")
    statement.meta["text"] = text
    return statement


def parsed(text: str) -> exp.Expr:
    """The statement's tree. ``sqlglot.errors.ParseError`` where sqlglot cannot read it."""
    return _parsed(text.strip().rstrip(";"))


def refused(statement: exp.Expr) -> str | None:
    """Why Snowflake does not compile the statement; None where nothing is known against it."""
    for rule in (truth_tests, filters, unknown_functions, reserved_names):
        for found in rule(statement):
            return found
    return None


def findings(text: str) -> list[str]:
    """What is wrong with a statement."""
    statement = parsed(text)
    rules = (
        *(truth_tests, filters, unknown_functions, reserved_names),
        *(kept_literals, not_in_nullable, quoted_lower_case, time_zones),
    )
    return [found for rule in rules for found in rule(statement)]


def truth_tests(statement: exp.Expr) -> Iterator[str]:
    """IS [NOT] TRUE and FALSE: Snowflake has only IS NULL and IS DISTINCT FROM.

    https://docs.snowflake.com/en/sql-reference/functions/is-null
    """
    for test in statement.find_all(exp.Is):
        if isinstance(test.expression, exp.Boolean):
            yield f"there is no IS [NOT] {test.expression.sql()}: {_short(test)}"


def filters(statement: exp.Expr) -> Iterator[str]:
    """FILTER of an aggregate, which Snowflake lacks.

    https://docs.snowflake.com/en/sql-reference/functions-aggregation
    """
    for aggregate in statement.find_all(exp.Filter):
        yield f"there is no FILTER: {_short(aggregate)}"


def unknown_functions(statement: exp.Expr) -> Iterator[str]:
    """A function that is not in ``FUNCTIONS``, by its name as written: the tree forgets it."""
    if isinstance(statement, exp.Query | exp.DML | exp.Create):
        named = {cte.alias.lower() for cte in statement.find_all(exp.CTE)}
        for name in _called(str(statement.meta["text"])):
            if name not in FUNCTIONS and name not in named:
                yield f"unknown function {name.upper()}"


@lru_cache(maxsize=4096)
def _called(text: str) -> tuple[str, ...]:
    found = []
    tokens = sqlglot.tokenize(text, read="snowflake")
    for before, token, after in zip([None, *tokens], tokens, tokens[1:], strict=False):
        name = token.text.lower()
        if after.token_type != TokenType.L_PAREN or not name[:1].isalpha():
            continue
        if token.token_type in (TokenType.STRING, TokenType.IDENTIFIER):
            continue
        if before is not None and (
            before.token_type == TokenType.DOT  # a table whose columns follow
            or before.text.lower() in ("into", "table", "exists", "view")
        ):
            continue
        if name not in SYNTAX:
            found.append(name)
    return tuple(found)


def reserved_names(statement: exp.Expr) -> Iterator[str]:
    """An unquoted name that is a reserved word."""
    for name in statement.find_all(exp.Identifier):
        if not name.quoted and name.name.lower() in RESERVED:
            yield f"{name.name} is a reserved word"


def kept_literals(statement: exp.Expr) -> Iterator[str]:
    """A bare integer or text in a column that a table keeps: the next value does not fit.

    Its type is as wide as the literal (``1`` is NUMBER(1,0), ``'a'`` VARCHAR(1)). A table that
    declares its columns gives them their types.
    """
    if not isinstance(statement, exp.Create) or str(statement.kind).upper() != "TABLE":
        return
    if statement.expression is None or isinstance(statement.this, exp.Schema):
        return
    if statement.find(exp.TemporaryProperty):  # ends with its session
        return
    query = statement.expression.unnest()
    ctes = {cte.alias.upper(): cte.this for cte in statement.find_all(exp.CTE)}
    for name, values in _columns(query, ctes).items():
        if values and all(_is_bare(value) for value in values):
            yield f"the column {name} keeps the bare literal {_short(values[0])}"


def _columns(
    query: exp.Expr, ctes: dict[str, exp.Expr], depth: int = 0
) -> dict[str, list[exp.Expr]]:
    """What each output column of a query is computed from, one expression per branch of a UNION."""
    if depth > 50:
        return {}
    query = query.unnest() if isinstance(query, exp.Subquery) else query
    if isinstance(query, exp.SetOperation):
        left, right = (_columns(side, ctes, depth + 1) for side in (query.this, query.expression))
        return {
            name: [*values, *other]
            for (name, values), other in zip(left.items(), right.values(), strict=False)
        }
    if not isinstance(query, exp.Select):
        return {}
    found: dict[str, list[exp.Expr]] = {}
    sources = [
        source
        for part in [query.args.get("from_"), *query.args.get("joins", [])]
        if part is not None
        for source in [part.this]
    ]
    named = {
        source.alias_or_name.upper(): _columns(
            source if isinstance(source, exp.Subquery) else ctes[source.name.upper()],
            ctes,
            depth + 1,
        )
        for source in sources
        if isinstance(source, exp.Subquery)
        or (isinstance(source, exp.Table) and not source.db and source.name.upper() in ctes)
    }
    for projection in query.expressions:
        value = projection.unalias()
        if projection.is_star:
            table = projection.table.upper() if isinstance(projection, exp.Column) else None
            for source, columns in named.items():
                if table in (None, "", source):
                    found |= columns
        elif isinstance(value, exp.Column):
            wanted, table = value.name.upper(), value.table.upper()
            values = [
                columns[wanted]
                for source, columns in named.items()
                if wanted in columns and table in ("", source)
            ]
            found[projection.alias_or_name.upper()] = values[0] if values else [value]
        else:
            found[projection.alias_or_name.upper()] = [value]
    return found


def _is_bare(value: exp.Expr) -> bool:
    if isinstance(value, exp.Paren | exp.Neg):
        return _is_bare(value.this)
    return isinstance(value, exp.Literal) and (value.is_string or value.name.isdigit())


def not_in_nullable(statement: exp.Expr) -> Iterator[str]:
    """NOT IN over a subquery whose column may be null: one null, and no row is left.

    It is slow besides, https://docs.snowflake.com/en/sql-reference/functions/in. Use NOT EXISTS.
    """
    for test in statement.find_all(exp.In, exp.NEQ):  # sqlglot reads NOT IN as <> ALL
        if isinstance(test, exp.NEQ):
            query = test.expression.this if isinstance(test.expression, exp.All) else None
        else:
            query = test.args.get("query") if isinstance(test.parent, exp.Not) else None
        if query is None:
            continue
        inner = query.unnest()
        known = {
            condition.this.this.name.upper()
            for condition in inner.find_all(exp.Not)
            if isinstance(condition.this, exp.Is)
            and isinstance(condition.this.expression, exp.Null)
            and isinstance(condition.this.this, exp.Column)
        }
        if not {column.unalias().name.upper() for column in inner.selects} <= known:
            yield f"NOT IN over what may be null: {_short(test)}"


def quoted_lower_case(statement: exp.Expr) -> Iterator[str]:
    """A quoted name in lower case, which is another name than the plain one.

    https://docs.snowflake.com/en/sql-reference/identifiers-syntax
    """
    for name in statement.find_all(exp.Identifier):
        if name.quoted and re.fullmatch(r"[a-z_][a-z0-9_$]*", name.name):
            yield f'"{name.name}" in quotes is not {name.name}'


def time_zones(statement: exp.Expr) -> Iterator[str]:
    """A type with a time zone, or a table that keeps CURRENT_TIMESTAMP, which has one (LTZ).

    https://docs.snowflake.com/en/sql-reference/data-types-datetime. All times are UTC without.
    """
    for type_ in statement.find_all(exp.DataType):
        if type_.this in (exp.DataType.Type.TIMESTAMPTZ, exp.DataType.Type.TIMESTAMPLTZ):
            yield f"a type with a time zone: {_short(type_)}"
    if isinstance(statement, exp.Create | exp.Insert | exp.Update | exp.Merge):
        for now in statement.find_all(exp.CurrentTimestamp):
            if not (now.args.get("sysdate") or now.find_ancestor(exp.Cast, exp.ConvertTimezone)):
                yield "a table keeps CURRENT_TIMESTAMP, which has a time zone"


def _short(expression: exp.Expr) -> str:
    return expression.sql(dialect="snowflake", comments=False)[:120]
