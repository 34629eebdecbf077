"""Stands for dbt's ``target`` while sqlfluff renders a model."""

type = "duckdb"
