"""Writes the pages that repeat what stands elsewhere: settings.md and data-dictionary.md.

``python -m docs.generate``
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import yaml  # type: ignore[import-untyped]
from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from alerting.policy import POLICIES
from pipeline.contracts import METADATA_COLUMNS
from pipeline.settings import PROJECT, FromEnvironment
from pipeline.sources import SOURCES

DOCS = PROJECT / "docs"
MODELS = PROJECT / "dbt_ecommerce" / "models"
WRITTEN_BY = "<!-- Written by `make docs`; change what it is written from. -->"


# --- settings


def declared() -> dict[str, FieldInfo]:
    """Every setting by its environment variable, from each ``settings.py`` of the project."""
    files = [*PROJECT.glob("[a-z]*/settings.py"), *PROJECT.glob("[a-z]*/*/settings.py")]
    found = {}
    for file in sorted(files):
        module = import_module(".".join(file.relative_to(PROJECT).with_suffix("").parts))
        for model in vars(module).values():
            if isinstance(model, type) and issubclass(model, FromEnvironment):
                prefix = model.model_config.get("env_prefix", "")
                for name, field in model.model_fields.items():
                    alias = field.validation_alias
                    first = alias.choices[0] if isinstance(alias, AliasChoices) else alias
                    found[str(first) if first else f"{prefix}{name}".upper()] = field
    return found


@dataclass(frozen=True)
class Explained:
    """A line of .env.example with the sentences above it."""

    section: str
    name: str
    default: str
    text: str


def explained(example: str) -> Iterator[Explained]:
    section, above = "", ""
    for line in example.splitlines():
        if heading := re.match(r"# --- (.+?) -{3,}$", line):
            section = heading[1]
        elif setting := re.match(r"(?:# )?([A-Z][A-Z_]+)=(\S*)(?:\s+# (.*))?$", line):
            yield Explained(section, setting[1], setting[2], setting[3] or above)
        elif line.startswith("# "):
            above = line.removeprefix("# ")


def settings_page() -> str:
    fields, section = declared(), ""
    lines = [
        WRITTEN_BY,
        "# Every setting",
        "",
        "Settings come from the environment, or from `.env` in the project's folder; the "
        "environment wins. Copy `.env.example`",
        "to `.env` and fill in what you need. A value that is missing or wrong stops the step that "
        "needs it with a sentence that",
        "names the variable, and a secret is never printed. In production let a secrets backend "
        "fill the environment.",
    ]
    for one in explained((PROJECT / ".env.example").read_text()):
        if one.section != section:
            section = one.section
            lines += [
                "",
                f"## {section}",
                "",
                "| variable | default | what it is |",
                "|---|---|---|",
            ]
        field = fields.get(one.name)
        default = (
            "**required**"
            if field and field.is_required()
            else f"`{one.default}`"
            if one.default
            else ""
        )
        secret = (
            " A secret."
            if field and SecretStr in (field.annotation, *get_args(field.annotation))
            else ""
        )
        lines.append(f"| `{one.name}` | {default} | {cell(one.text)}{secret} |")
    lines += [
        "",
        "## Retries, SLAs and time limits",
        "",
        "Not settings: they are one table in `alerting/policy.py`, for all tasks of a kind. The "
        "whole day has an SLA of its own:",
        "30 minutes from 06:00 UTC.",
        "",
        "| kind of task | further tries | wait before each | SLA | a try is ended after |",
        "|---|---|---|---|---|",
    ]
    for kind, policy in POLICIES.items():
        wait = duration(policy.delay) if policy.retries else ""
        sla = duration(policy.sla) if policy.sla else ""
        lines.append(
            f"| {kind} | {policy.retries} | {wait} | {sla} | {duration(policy.execution_timeout)} |"
        )
    return "\n".join(lines) + "\n"


def duration(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"


# --- data dictionary


def dictionary_page() -> str:
    lines = [
        WRITTEN_BY,
        "# Data dictionary",
        "",
        "Every table and column, from the descriptions that dbt checks and carries into the "
        "warehouse. People read the",
        "[marts](marts.md), in the schema `published`; everything below them is how the marts come "
        "about.",
    ]
    for title, folder, text in (
        ("Marts", "marts", "Published once a day, all at once, after every test has passed."),
        (
            "Watermark",
            "watermark",
            "How far the marts are built: the last thing that a build writes.",
        ),
        (
            "Intermediate models",
            "intermediate",
            "Tables that put sources together. Not for people to build upon.",
        ),
        (
            "Staging models",
            "staging",
            "One view per raw table: renamed, cast, cleaned, and nothing else.",
        ),
    ):
        lines += ["", f"## {title}", "", text]
        for model in sorted(models(MODELS / folder), key=lambda model: str(model["name"])):
            lines += described(model)
    lines += [
        "",
        "## Raw tables",
        "",
        "As the sources sent them, in the newest version of each row, with four columns on top:",
        "",
    ]
    lines += table(
        {"name": column.name, "description": METADATA[column.name]} for column in METADATA_COLUMNS
    )
    added = {column.name for column in METADATA_COLUMNS}
    for source in sources(MODELS / "staging"):
        for raw in source["tables"]:
            own = [column for column in raw.get("columns", []) if column["name"] not in added]
            lines += described({**raw, "columns": own}, key=KEYS.get(raw["name"].lower()))
    return "\n".join(lines) + "\n"


METADATA = {
    "_load_id": "The load that last changed the row.",
    "_loaded_at": "When that load committed its rows, UTC.",
    "_day": "The day that load was for.",
    "_deleted_at": "When reconciliation found the row gone from the source, UTC; null while it is "
    "there.",
}
KEYS = {table.raw_name.lower(): table.key for source in SOURCES for table in source.tables}


MEASURES = dict(
    re.findall(
        r"{% docs (\w+) %}\n(.+?)\n{% enddocs %}", (MODELS / "measures.md").read_text(), re.S
    )
)


def models(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.rglob("*.yml")):
        text = re.sub(r"{{ doc\('(\w+)'\) }}", lambda name: MEASURES[name[1]], file.read_text())
        yield from yaml.safe_load(text).get("models", [])


def sources(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.rglob("*.yml")):
        yield from yaml.safe_load(file.read_text()).get("sources", [])


def described(model: dict[str, Any], key: tuple[str, ...] | None = None) -> list[str]:
    key = key or tuple(
        column["name"]
        for column in model.get("columns", [])
        if "unique" in column.get("data_tests", [])
    )
    lines = ["", f"### {model['name']}", "", str(model.get("description", "")).strip()]
    if key:
        lines += ["", f"Key: {', '.join(f'`{name}`' for name in key)}."]
    return [*lines, "", *table(model.get("columns", []))]


def table(columns: Any) -> list[str]:
    columns = list(columns)
    if any("data_type" in column for column in columns):
        rows = [
            f"| `{one['name']}` | {one.get('data_type', '')} | {cell(one.get('description', ''))} |"
            for one in columns
        ]
        return ["| column | type | what it is |", "|---|---|---|", *rows]
    return [
        "| column | what it is |",
        "|---|---|",
        *(f"| `{one['name']}` | {cell(one.get('description', ''))} |" for one in columns),
    ]


def cell(text: str) -> str:
    """Text for a cell of a table: one line, and nothing in it is markup."""
    return re.sub(r"([|<>*_`\[\]])", r"\\\1", " ".join(text.split()))


PAGES = {"settings.md": settings_page, "data-dictionary.md": dictionary_page}


def main() -> None:
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())


if __name__ == "__main__":
    main()
