"""A day is compared with the same weekday of the eight weeks before it."""

from __future__ import annotations

from datetime import date, timedelta

from alerting.volume import FEWEST, WEEKS, usual

SUNDAY = date(2026, 11, 22)


def weeks_before(rows: list[int]) -> dict[date, int]:
    return {SUNDAY - timedelta(weeks=number): count for number, count in enumerate(rows, start=1)}


def test_a_day_far_outside_what_is_usual_is_told_apart() -> None:
    band = usual(weeks_before([1000, 1040, 990, 1010, 980, 1030, 1000, 1020]), SUNDAY)
    assert band is not None and band.middle == 1005
    assert not band.far_outside(1200) and not band.far_outside(800)
    assert band.far_outside(500) and band.far_outside(1500) and band.far_outside(0)


def test_one_odd_week_among_the_eight_does_not_hide_the_next() -> None:
    band = usual(weeks_before([1000, 1040, 990, 100_000, 980, 1030, 1000, 1020]), SUNDAY)
    assert band is not None and band.far_outside(3000)


def test_a_source_that_varies_a_lot_may_vary_a_lot() -> None:
    band = usual(weeks_before([100, 900, 300, 1500, 700, 200, 1200, 400]), SUNDAY)
    assert band is not None and not band.far_outside(1900) and band.low == 0


def test_a_handful_of_rows_is_never_far_outside_by_one_or_two() -> None:
    band = usual(weeks_before([2] * WEEKS), SUNDAY)
    assert (
        band is not None
        and not band.far_outside(0)
        and not band.far_outside(6)
        and band.far_outside(40)
    )


def test_with_too_few_weeks_nothing_is_said_and_other_weekdays_do_not_count() -> None:
    assert usual(weeks_before([1000] * (FEWEST - 1)), SUNDAY) is None
    assert usual(weeks_before([1000] * FEWEST), SUNDAY) is not None
    assert usual({SUNDAY - timedelta(days=number): 1000 for number in range(1, 7)}, SUNDAY) is None
