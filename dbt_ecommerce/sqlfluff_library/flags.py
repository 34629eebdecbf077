"""Stands for dbt's ``flags`` while sqlfluff renders a model."""

FULL_REFRESH = False
