"""Secrets in thousands of realistic texts, and ordinary text beside them."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from time import process_time

import pytest

from pipeline.masking import mask
from pipeline.settings import PROJECT
from tests.builders.secret_texts import KNOWN, known_cases, unknown_cases

PACKAGES = ("alerting", "ingestion", "operations", "pipeline", "transform", "warehouse")


def test_no_known_secret_is_left_in_any_form() -> None:
    cases = list(known_cases())
    leaking = [str(case) for case in cases if case.leaks(mask(case.text, KNOWN.values()))]
    assert len(cases) > 2000
    assert leaking == []


def test_hardly_any_unknown_secret_is_left() -> None:
    cases = list(unknown_cases())
    leaking = [str(case) for case in cases if case.leaks(mask(case.text, ()))]
    assert len(cases) > 600
    assert len(leaking) < 0.05 * len(cases), "\n".join(leaking)


def _our_sentences() -> Iterator[str]:
    """What the code can say: its strings of several words, docstrings included."""
    for package in PACKAGES:
        for file in (PROJECT / package).rglob("*.py"):
            if file.name == "secret_shapes.py":
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield from (line for line in node.value.splitlines() if " " in line)


def _documentation() -> Iterator[str]:
    """Its prose and tables; the commands between fences do set passwords."""
    for file in (PROJECT / "docs").glob("*.md"):
        for block in file.read_text().split("```")[::2]:
            yield from block.splitlines()


@pytest.mark.parametrize("corpus", [_our_sentences, _documentation])
def test_our_own_sentences_come_through_unchanged(corpus: Callable[[], Iterator[str]]) -> None:
    lines = list(corpus())
    changed = [(line, masked) for line in lines if (masked := mask(line, ())) != line]
    assert len(lines) > 500
    assert changed == []


_HOSTILE = (
    "a.",
    "-",
    "x-",
    "eyJ-",
    "://",
    "a://a:",
    "password",
    'password="',
    "\\",
    "Cookie: ",
    "aB3",
)


@pytest.mark.parametrize("unit", _HOSTILE)
def test_every_pattern_is_linear_by_growth(unit: str) -> None:
    """Four times the text may take eight times as long, best of three; quadratic is sixteen."""

    def seconds(size: int) -> float:
        text, best = unit * (size // len(unit)), 9e9
        for _ in range(3):
            begun = process_time()
            mask(text, ())
            best = min(best, process_time() - begun)
        return best

    assert seconds(80_000) < 8 * seconds(20_000) + 0.05
