"""What the back-fill command refuses before it asks Airflow, and how it tells of a day."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from operations.__main__ import REFUSED, main
from operations.backfill import Range
from operations.following import DayOutcome
from pipeline.days import current_day
from pipeline.pool import complaint_about
from pipeline.settings import settings

DAY = date(2026, 11, 2)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ECOMMERCE_ENV_FILE", "/dev/null")
    for name in ("URL", "USER", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"AIRFLOW_API_{name}", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("order", "--from", "2026-11-01"),
            "There is no source called 'order'. Known sources: orders, customers, ",
        ),
        (("orders", "--from", "2026-02-30"), "'2026-02-30' is not a day. Give it as YYYY-MM-DD"),
        (
            ("orders", "--from", "2026-11-01", "--to", "01.11.2026"),
            "'01.11.2026' is not a day. Give it as YYYY-MM-DD",
        ),
        (
            ("all", "--from", "2026-11-05", "--to", "2026-11-01"),
            "The last day, 2026-11-01, lies before the first, 2026-11-05.",
        ),
        (
            ("all", "--from", "2026-11-01", "--to", str(current_day() + timedelta(days=1))),
            " has not come yet: a day can be loaded",
        ),
        (
            ("all", "--from", "2026-11-01"),
            "Who is to sign in to Airflow? Set AIRFLOW_API_URL with AIRFLOW_API_USER and ",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backfill", *arguments]) == REFUSED
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_less_than_one_day_at_a_time_is_not_understood(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["backfill", "all", "--from", "2026-11-01", "--days-at-a-time", number])
    assert "--days-at-a-time" in capsys.readouterr().err


def test_an_airflow_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("AIRFLOW_API_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AIRFLOW_API_TOKEN", "from-the-deployment")
    assert main(["backfill", "all", "--from", "2026-11-01"]) == REFUSED
    said = capsys.readouterr().err
    assert f"Airflow did not answer on http://127.0.0.1:{port}" in said
    assert "from-the-deployment" not in said


def test_a_range_includes_its_last_day() -> None:
    assert Range(DAY, DAY).days == [DAY]
    assert Range(date(2026, 10, 30), DAY).days == [
        date(2026, 10, 30),
        date(2026, 10, 31),
        date(2026, 11, 1),
        DAY,
    ]


@pytest.mark.parametrize(
    ("outcome", "failed", "said"),
    [
        (
            DayOutcome(DAY, {"orders": "success"}, ("success",), True),
            False,
            "2026-11-02  1 of 1 loaded; dbt: success",
        ),
        (
            DayOutcome(DAY, {"orders": "success"}, (), False),
            False,
            "2026-11-02  1 of 1 loaded; dbt waits for the other sources of the day",
        ),
        (
            DayOutcome(DAY, {"orders": "success", "charges": "failed"}, (), False),
            True,
            "2026-11-02  1 of 2 loaded, failed: charges; dbt waits for the other sources of the "
            "day",
        ),
        (
            DayOutcome(DAY, {"orders": "success"}, ("failed",), True),
            True,
            "2026-11-02  1 of 1 loaded; dbt: failed",
        ),
        (
            DayOutcome(DAY, {"orders": "success"}, ("failed", "success"), True),
            False,
            "1 of 1 loaded; dbt: failed, success",
        ),
        (
            DayOutcome(DAY, {"orders": "success"}, (), True),
            True,
            "dbt did NOT run, although it should have",
        ),
    ],
)
def test_a_day_says_what_was_loaded_and_built(outcome: DayOutcome, failed: bool, said: str) -> None:
    assert outcome.failed is failed
    assert said in str(outcome)


@pytest.mark.parametrize(
    ("slots", "said"),
    [(None, "has no pool 'publish'"), (0, "No slot"), (2, "2 slots"), (-1, "-1 slots")],
)
def test_only_a_pool_of_one_slot_is_as_it_must_be(slots: int | None, said: str) -> None:
    assert complaint_about(1) == ""
    assert said in complaint_about(slots)
    assert "airflow pools set publish 1 'One slot" in complaint_about(slots)
