"""Any mixture of good, bad, repeated and corrected rows against a model, in flat memory."""

from __future__ import annotations

import tempfile
import tracemalloc
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.csv_uploads import opening
from ingestion.csv_uploads.opening import OpenedFile, open_file, read_file
from ingestion.csv_uploads.sorting import RowSorter
from ingestion.csv_uploads.spelling import Spellings
from pipeline.rejects import Reject
from pipeline.sources import MARKETING_SPEND
from tests.builders.chance import examples

HEADER = "date,channel,campaign_name,spend,impressions,clicks"
DAY = date(2026, 1, 20)
Key = tuple[date, str, str]


def opened(folder: Path, name: str, lines: list[str], modified_at: datetime) -> OpenedFile:
    path = folder / name
    path.write_bytes("\n".join([HEADER, *lines]).encode())
    return open_file(name, modified_at, path, MARKETING_SPEND, {})


def outcome(folder: Path, files: list[OpenedFile]) -> tuple[dict[Key, Decimal], list[Reject]]:
    """Spend by key of the rows that would be loaded, and the rejects."""
    with RowSorter(MARKETING_SPEND, folder) as rows:
        for file in files:
            read_file(file, MARKETING_SPEND, rows, Spellings())
        rows.sum_breakdowns()
        rows.keep_newest_of_series([(file.name, file.modified_at) for file in files])
        loaded = [row for batch in rows.winners(DAY) for row in batch.to_pylist()]
        keys = [(row["date"], row["channel"], row["campaign_name"]) for row in loaded]
        assert len(set(keys)) == len(keys)
        rejects = [reject for batch in rows.rejects() for reject in batch]
        return dict(zip(keys, (row["spend"] for row in loaded), strict=True)), rejects


GOOD = st.tuples(
    st.sampled_from([18, 19, 20, 21]),
    st.sampled_from(["a", "b, c", "two\nlines"]),
    st.sampled_from(["1.00", "2.00"]),
)
BAD = st.sampled_from(
    ["2026-01-20,g,x", "2026-01-20,g,x,free,1,1", '2026-01-20,g,"x,1,1,1', "01/02/2026,g,x,1,1,1"]
)
FILES = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.one_of(GOOD, BAD), max_size=8)), min_size=1, max_size=3
)


@settings(max_examples=examples(50, 2_000), deadline=None)
@given(FILES)
def test_what_loads_and_what_is_rejected_is_what_an_independent_model_says(
    content: list[tuple[int, list[tuple[int, str, str] | str]]],
) -> None:
    speaks: dict[date, tuple[datetime, str]] = {}
    given: dict[tuple[str, Key], Decimal] = {}
    rejected: list[tuple[str, int]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder, files = Path(temporary), []
        for number, (age, rows) in enumerate(content):
            name, modified_at = f"spend_{number}.csv", datetime(2026, 1, 1) + timedelta(days=age)
            lines, at, found = [], 2, dict[Key, list[tuple[int, Decimal]]]()
            for row in rows:
                if isinstance(row, str):
                    text = row
                    rejected.append((name, at))
                else:
                    text = f'2026-01-{row[0]},g,"{row[1]}",{row[2]},1,1'
                    found.setdefault((date(2026, 1, row[0]), "g", row[1]), []).append(
                        (at, Decimal(row[2]))
                    )
                lines.append(text)
                at += 1 + text.count("\n")
            files.append(opened(folder, name, lines, modified_at))
            for key, places in found.items():
                if len(places) > 1:
                    rejected += [(name, line) for line, _ in places]
                    continue
                given[name, key] = places[0][1]
                speaks[key[0]] = max(
                    speaks.get(key[0], (datetime(1, 1, 1), "")), (modified_at, name)
                )
        loaded, rejects = outcome(folder, files)
    assert loaded == {
        key: spend
        for (name, key), spend in given.items()
        if key[0] <= DAY and speaks[key[0]][1] == name
    }
    assert [(reject.file, reject.line) for reject in rejects] == sorted(rejected)


def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BATCH_ROWS", 200)

    def peak(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        lines = [
            f"2026-01-20,g,{number % 100},1.00,1,1" if number % 2 else f"bad,{number}"
            for number in range(count)
        ]
        file = opened(folder, "large.csv", lines, datetime(2026, 1, 1))
        del lines
        with RowSorter(MARKETING_SPEND, folder) as rows:
            tracemalloc.start()
            read_file(file, MARKETING_SPEND, rows, Spellings())
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert (rows.accepted, rows.rejected) == (count // 2, count // 2)
        return most

    peak(1_000)  # what is allocated once
    assert peak(16_000) < 1.5 * peak(2_000)
