"""Stands for dbt's ``adapter`` while sqlfluff renders a model: dispatch becomes a plain call."""

from __future__ import annotations

from collections.abc import Callable


def get_relation(database: str, schema: str, identifier: str) -> None:
    """No table is there: models are rendered as for the first build."""


def dispatch(macro: str) -> Callable[..., str]:
    def call(*arguments: object) -> str:
        flat = [
            part
            for argument in arguments
            for part in (argument if isinstance(argument, list) else [argument])
        ]
        return f"{macro}({', '.join(map(str, flat))})"

    return call
