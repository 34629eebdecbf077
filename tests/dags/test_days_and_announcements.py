"""When a day is complete, and what is announced for it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from pipeline.day_report import report_day
from pipeline.gate import IncompleteDayError, check_complete
from pipeline.records import DayState, LoadRecord, TableCounts, Window
from pipeline.sources import SOURCES
from wiring.repairs import repaired_days

DAY = date(2026, 11, 2)
SEVEN = datetime(2026, 11, 2, 7, tzinfo=UTC)


def record(source: str, committed: datetime = SEVEN) -> LoadRecord:
    moment = committed.replace(tzinfo=None)
    return LoadRecord(
        load_id=f"load-{source}",
        source=source,
        day=DAY,
        window=Window(None, datetime(2026, 11, 2, 6)),
        watermark=None,
        started_at=moment,
        extracted_at=moment,
        committed_at=moment,
        tables=(TableCounts(source, 3, 2, 1, 0),),
        checksum="x",
    )


def state(without: tuple[str, ...] = (), last_build: datetime | None = None) -> DayState:
    """A day announced at seven by all sources but some."""
    seven = SEVEN.replace(tzinfo=None)
    return DayState(
        DAY, {source.name: seven for source in SOURCES if source.name not in without}, last_build
    )


def test_the_gate_names_every_missing_source_and_its_dag() -> None:
    records = tuple(
        record(source.name) for source in SOURCES if source.name not in ("orders", "charges")
    )
    with pytest.raises(
        IncompleteDayError,
        match=r"no load record of orders \(DAG extract_postgres_orders\), charges \(DAG",
    ):
        check_complete(DAY, records)


def test_the_gate_passes_six_loads_on_in_the_order_of_the_sources() -> None:
    loads = check_complete(DAY, tuple(record(source.name) for source in reversed(SOURCES)))
    assert [load["source"] for load in loads] == [source.name for source in SOURCES]
    assert {load["rows"] for load in loads} == {3}


def test_a_build_is_due_between_the_sixth_announcement_and_its_beginning() -> None:
    seven = SEVEN.replace(tzinfo=None)
    assert state().build_is_due
    assert state(last_build=seven - timedelta(seconds=1)).build_is_due
    assert not state(last_build=seven + timedelta(seconds=1)).build_is_due
    assert not state(without=("orders",)).build_is_due


def test_a_day_all_six_have_loaded_and_dbt_never_read_is_lost() -> None:
    records = tuple(record(source.name) for source in SOURCES)
    lost = report_day(state(), records, frozenset(), None)
    assert lost.lost
    assert (
        lost.sentences()[-1]
        == "All six sources of 2026-11-02 are loaded, but dbt has not begun: it is announced again."
    )
    begun = SEVEN.replace(tzinfo=None) + timedelta(minutes=1)
    assert not report_day(state(last_build=begun), records, frozenset(), None).lost


def test_a_day_that_lacks_sources_says_which_and_what_they_do() -> None:
    records = tuple(
        record(source.name) for source in SOURCES if source.name not in ("orders", "charges")
    )
    report = report_day(
        state(without=("orders", "charges", "customers")), records, frozenset({"orders"}), None
    )
    assert (report.complete, report.lost) == (False, False)
    assert report.sources["orders"] == "running"
    assert report.sources["charges"] == "missing"
    assert report.sources["customers"] == "loaded, not announced"
    verdict, hint = report.conclusion()
    assert report.sentences()[-2:] == [verdict, hint]
    assert verdict == "dbt waits for orders, charges."
    assert hint.startswith(
        "Loaded, but not announced: customers. The task publish has failed, or it waits."
    )
    assert "airflow pools set publish 1" in hint


def test_a_source_that_failed_says_with_what() -> None:
    records = tuple(
        record(source.name) for source in SOURCES if source.name not in ("orders", "charges")
    )
    errors = {
        "orders": "SourceUnavailableError: no answer.",
        "charges": "CredentialsError: 401",
        "products": "an old one",
    }
    said = report_day(
        state(without=("orders", "charges")), records, frozenset({"charges"}), None, errors
    ).sentences()
    assert said[0] == "orders: failed: SourceUnavailableError: no answer."
    assert "charges: running: CredentialsError: 401." in said
    assert "products: loaded, 3 rows." in said  # it failed and was repaired: nothing to say


def test_a_repair_has_the_day_it_was_committed_for_announced_once_for_all_its_sources() -> None:
    results = [
        {"source": "orders", "repaired_day": "2026-11-22"},
        None,  # failed, or skipped
        {"source": "products", "repaired_day": None},
        {"source": "charges", "repaired_day": "2026-11-22"},
        {"source": "marketing", "repaired_day": "2026-11-21"},
    ]
    assert repaired_days(results) == {
        date(2026, 11, 21): ["marketing"],
        date(2026, 11, 22): ["orders", "charges"],
    }
