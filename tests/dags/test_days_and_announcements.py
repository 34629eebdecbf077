"""When a day is complete, and what is announced for it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from pipeline.contracts import Source
from pipeline.day_report import report_day
from pipeline.gate import IncompleteDayError, check_complete
from pipeline.records import DayState, LoadRecord, TableCounts, Window
from pipeline.sources import SOURCES

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
    builds = {"run-1": last_build} if last_build else {}
    announced = {source.name: seven for source in SOURCES if source.name not in without}
    return DayState(DAY, announced, builds)


def test_the_gate_names_every_missing_source_and_its_dag() -> None:
    records = tuple(
        record(source.name) for source in SOURCES if source.name not in ("orders", "charges")
    )
    with pytest.raises(
        IncompleteDayError,
        match=r"no load record of orders \(DAG extract_postgres_orders\), charges \(DAG",
    ):
        check_complete(DAY, records)


@pytest.mark.parametrize("missing", SOURCES, ids=lambda source: source.name)
def test_the_gate_waits_for_each_source(missing: Source) -> None:
    records = tuple(record(source.name) for source in SOURCES if source is not missing)
    with pytest.raises(IncompleteDayError, match=f"no load record of {missing.name} "):
        check_complete(DAY, records)


def test_the_gate_passes_six_loads_on_in_the_order_of_the_sources() -> None:
    loads = check_complete(DAY, tuple(record(source.name) for source in reversed(SOURCES)))
    assert [load["source"] for load in loads] == [source.name for source in SOURCES]
    assert {load["rows"] for load in loads} == {3}


def test_a_build_since_a_moment_began_after_it() -> None:
    builds = {
        "before": datetime(2026, 11, 2, 6, 59, 59),
        "at": datetime(2026, 11, 2, 7),
        "after": datetime(2026, 11, 2, 7, 0, 1),
    }
    of_day = DayState(DAY, {}, builds)
    assert of_day.builds_since(SEVEN) == ["after"]
    assert of_day.builds_since(SEVEN.astimezone(timezone(timedelta(hours=9)))) == ["after"]
    assert of_day.last_build == datetime(2026, 11, 2, 7, 0, 1)
    assert DayState(DAY, {}, {}).last_build is None


def test_a_day_all_six_have_loaded_and_dbt_never_read_is_lost() -> None:
    records = tuple(record(source.name) for source in SOURCES)
    assert report_day(state(), records, lost=True).conclusion() == [
        "All six sources of 2026-11-02 are loaded, but dbt has not begun: a run of it is started."
    ]
    begun = state(last_build=SEVEN.replace(tzinfo=None) + timedelta(minutes=1))
    assert report_day(begun, records).conclusion() == [
        "All six sources of 2026-11-02 are loaded; dbt began at 07:01:00 UTC."
    ]
    assert report_day(begun, records, published_day=DAY).conclusion() == [
        "2026-11-02 is published."
    ]


def test_a_day_that_completes_while_it_is_looked_at_is_about_to_be_built() -> None:
    records = tuple(record(source.name) for source in SOURCES)
    assert report_day(state(), records).conclusion() == [
        "All six sources of 2026-11-02 are loaded; dbt is about to begin."
    ]


def test_a_paused_dbt_is_said_whatever_else_there_is_to_say() -> None:
    for records in ((), tuple(record(source.name) for source in SOURCES)):
        said = report_day(
            state(), records, lost=bool(records), paused=["ecommerce_dbt"]
        ).conclusion()
        assert said[1].startswith("The DAG ecommerce_dbt is paused: its runs wait")


def test_a_day_that_lacks_sources_says_which_and_what_they_do() -> None:
    records = tuple(
        record(source.name) for source in SOURCES if source.name not in ("orders", "charges")
    )
    report = report_day(
        state(without=("orders", "charges", "customers")), records, running=frozenset({"orders"})
    )
    assert report.waiting_for == ["orders", "charges"]
    assert report.sources["orders"] == "running"
    assert report.sources["charges"] == "no run"
    assert report.sources["customers"] == "loaded, not announced"
    verdict, hint = report.conclusion()
    assert report.sentences()[-2:] == [verdict, hint]
    assert verdict == (
        "dbt waits for orders, charges. charges has no run for the day: trigger "
        f"extract_stripe_charges with the key {DAY}."
    )
    assert report.goes_on, "orders is under way"
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
        state(without=("orders", "charges")), records, running=frozenset({"charges"}), errors=errors
    ).sentences()
    assert said[0] == "orders: failed: SourceUnavailableError: no answer."
    assert "charges: running: CredentialsError: 401." in said
    assert "products: loaded, 3 rows." in said  # it failed and was repaired: nothing to say


def test_a_source_that_has_failed_for_good_does_not_go_on_by_itself() -> None:
    report = report_day(
        state(without=tuple(source.name for source in SOURCES)),
        (),
        errors={"orders": "SourceUnavailableError: no answer"},
        paused=["extract_postgres_customers"],
    )
    verdict, paused = report.conclusion()
    assert not report.goes_on
    assert "orders has failed and nothing more is tried: clear the failed task of" in verdict
    assert "customers, products, order_items, charges, marketing have no run for the day" in verdict
    assert paused.startswith("Paused, so nothing is loaded by them: extract_postgres_customers.")


def test_a_build_that_failed_says_with_what_and_that_nothing_more_is_tried() -> None:
    records = tuple(record(source.name) for source in SOURCES)
    begun = state(last_build=SEVEN.replace(tzinfo=None) + timedelta(minutes=1))
    failed = report_day(begun, records, build_failed="DataTestError: 1 of 282 tests failed")
    (verdict,) = failed.conclusion()
    assert "began at 07:01:00 UTC and has failed: DataTestError: 1 of 282 tests failed." in verdict
    assert not failed.goes_on and report_day(begun, records).goes_on
