"""Stands for dbt's own cross-database macros while sqlfluff renders a model."""

from __future__ import annotations


def dateadd(part: str, interval: object, moment: str) -> str:
    return f"date_add({moment}, interval ({interval}) {part})"


def datediff(first: str, second: str, part: str) -> str:
    return f"date_diff('{part}', {first}, {second})"


def last_day(moment: str, part: str) -> str:
    return f"last_day(date_trunc('{part}', {moment}))"
