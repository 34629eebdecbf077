"""The types that Snowflake gives to what a statement keeps, where fakesnow would give DuckDB's.

- An integer literal is NUMBER(digits, 0), a text literal VARCHAR(length): "Fixed-point constants"
  and https://docs.snowflake.com/en/sql-reference/data-types-numeric, data-types-text.
- COUNT is NUMBER(18, 0), SUM of NUMBER(p, s) is NUMBER(38, s):
  https://docs.snowflake.com/en/sql-reference/functions/count and .../sum, as DESCRIBE of a table
  made from them shows.
"""

from __future__ import annotations

from sqlglot import exp


def typed(statement: exp.Expr) -> str | None:
    """CREATE TABLE ... AS and CREATE VIEW with these types; None for other statements."""
    if not isinstance(statement, exp.Create) or statement.expression is None:
        return None
    if str(statement.kind).upper() not in ("TABLE", "VIEW"):
        return None
    changed = statement.copy()
    for select in list(changed.expression.find_all(exp.Select)):
        for projection in select.expressions:
            _give_type(projection)
    return changed.sql(dialect="snowflake", comments=False)


def _give_type(value: exp.Expr) -> None:
    """Cast an integer literal or a COUNT, also as the result of CASE or COALESCE."""
    if isinstance(value, exp.Alias | exp.Paren):
        _give_type(value.this)
    elif isinstance(value, exp.Case):
        for branch in value.args["ifs"]:
            _give_type(branch.args["true"])
        if value.args.get("default"):
            _give_type(value.args["default"])
    elif isinstance(value, exp.Coalesce):
        for one in [value.this, *value.expressions]:
            _give_type(one)
    elif isinstance(value, exp.Literal) and not value.is_string and value.name.isdigit():
        _cast(value, f"NUMBER({len(value.name)}, 0)")
    elif isinstance(value, exp.Count) or (
        isinstance(value, exp.Window) and isinstance(value.this, exp.Count | exp.RowNumber)
    ):
        _cast(value, "NUMBER(18, 0)")


def _cast(value: exp.Expr, type_name: str) -> None:
    value.replace(exp.cast(value.copy(), type_name, dialect="snowflake"))
