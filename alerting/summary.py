"""Sums up a published day for its green message: rows, tests, time, revenue, and what had gone
wrong before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from alerting.alert import PIPELINE_SLA, Alert, duration
from alerting.errors_text import counted, keys_text, listed
from alerting.settings import AlertingSettings
from alerting.volume import same_weekday, usual
from pipeline.schedule import scheduled_start
from pipeline.settings import settings
from pipeline.sources import SOURCES

if TYPE_CHECKING:
    from alerting.store import Trouble
    from transform import Publication

logger = logging.getLogger(__name__)

# A day that completes later was run by hand, or caught up: minutes since 06:00 say nothing.
SAME_MORNING = timedelta(hours=12)
ROWS_NAMED = 3  # of those that a source has newly set aside
REVENUE = (
    "select order_date, gross_revenue from published.fct_daily_revenue "
    "where order_date in ('{}', '{}')"
)
Loads = Sequence[Mapping[str, Any]]  # what the gate before dbt found of each source
Query = Callable[[str], list[tuple[object, ...]]]


def summed_up(alert: Alert, loads: Loads = (), now: datetime | None = None) -> Alert:
    """The alert with the day's figures; status ``recovery`` where the day had been in trouble.

    Args:
        loads: what the gate before dbt found, per source ``source``, ``rows`` and
            ``rows_newly_rejected``. Figures that cannot be had are left out.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None)
    if alert.day is None:
        return alert
    day = date.fromisoformat(alert.day)
    facts = list(alert.facts)
    for figures in (_unusual, _rejected, _restated, _published):
        try:
            facts = [*figures(day, loads), *facts]
        except Exception as error:
            logger.warning("Some figures of %s are left out of its summary: %s", day, error)
    start, trouble = scheduled_start(day), _trouble(alert.day)
    since = now - start
    corrects = trouble is not None and trouble.corrects
    if since < SAME_MORNING and not corrects:
        facts.append(("Total time", f"{duration(since.total_seconds())} from {start:%H:%M} UTC"))
    if not trouble:
        return replace(alert, facts=tuple(facts))
    # Trouble that began later was that of a back-fill. Neither that nor a correction has a time by
    # which it must be there.
    began_in_time = trouble.began is not None and trouble.began < start + timedelta(days=1)
    is_of_the_day = began_in_time and not corrects
    sentence = recovery_sentence(
        day, trouble, since - PIPELINE_SLA if is_of_the_day and since > PIPELINE_SLA else None
    )
    return replace(alert, status="recovery", facts=(("Recovered", sentence), *facts))


def recovery_sentence(day: date, trouble: Trouble, late: timedelta | None) -> str:
    """``day 2026-11-22 complete after 2 failures, 41 min late``; ``late`` is None where the day was
    not late.
    """
    parts = [
        counted(count, word)
        for count, word in ((trouble.failures, "failure"), (trouble.breaches, "SLA breach"))
        if count
    ]
    after = " and ".join(parts).replace("breachs", "breaches")
    return f"day {day} complete after {after}" + (f", {_lateness(late)} late" if late else "")


def _lateness(late: timedelta) -> str:
    minutes = round(late.total_seconds() / 60)
    if minutes <= 90:
        return f"{minutes} min"
    return (
        f"{minutes // 60} h {minutes % 60} min" if late < timedelta(days=2) else f"{late.days} days"
    )


def revenue_line(query: Query, day: date, currency: str) -> str | None:
    """Revenue of the last full calendar day before the day's 06:00, and a week before it."""
    last, before = day - timedelta(days=1), day - timedelta(days=8)
    revenue = {row[0]: row[1] for row in query(REVENUE.format(last, before))}
    if last not in revenue:
        return None
    amount = float(str(revenue[last]))
    text = f"{amount:,.2f} {currency} on {last:%a} {last}"
    if before not in revenue:
        return text
    earlier = float(str(revenue[before]))
    change = f"{(amount - earlier) / earlier:+.1%}" if earlier else "from nothing"
    return f"{text}, {change} against {earlier:,.2f} on {before:%a} {before}"


def _published(day: date, loads: Loads) -> list[tuple[str, str]]:
    from pipeline.settings import settings
    from transform import read_publication, read_published
    from transform.settings import TransformSettings

    publication = read_publication()
    if publication is None or publication.built_for != day:
        return []
    facts = [("Rows loaded", _rows(publication)), *_tests(publication)]
    revenue = revenue_line(read_published, day, settings(TransformSettings).shop_currency)
    return [*facts, ("Revenue", revenue)] if revenue else facts


def _restated(day: date, loads: Loads) -> list[tuple[str, str]]:
    """Settled days whose revenue has changed by more than ``ALERT_RESTATED_SHARE``, and why."""
    from transform import read_publication, read_published, restatements

    publication = read_publication()
    if publication is None or publication.built_for != day:
        return []
    share = Decimal(str(settings(AlertingSettings).alert_restated_share))
    told = [
        one
        for one in restatements.of_publication(read_published, publication.publication_id)
        if one.measure in ("gross_revenue", "net_revenue")
        and abs(one.after - one.before) > share * abs(one.before)
    ]
    return [("Changed since", listed(restatements.sentences(told)))] if told else []


def _rejected(day: date, loads: Loads) -> list[tuple[str, str]]:
    """What was not set aside before, with its first rows; all are in LOADS.REJECTED_ROWS."""
    new = []
    for load in loads:
        if count := load.get("rows_newly_rejected"):
            named = load.get("newly_rejected", [])[:ROWS_NAMED]
            more = [f"and {count - len(named):,} more"] if count > len(named) else []
            new.append(f"{load['source']} {count:,}: {'; '.join([*named, *more])}")
    return [("Rows newly set aside", listed(new))] if new else []


def _unusual(day: date, loads: Loads) -> list[tuple[str, str]]:
    """Sources that brought far more or fewer rows than on that weekday of the weeks before."""
    from warehouse import open_warehouse

    if not loads:
        return []
    before = open_warehouse().rows_loaded(same_weekday(day))
    odd = [
        f"{load['source']} {load['rows']:,}, usually about {band.middle:,.0f}"
        for load in loads
        if (band := usual(before.get(load["source"], {}), day)) and band.far_outside(load["rows"])
    ]
    return [("Far from usual", f"{'; '.join(odd)} on a {day:%A}")] if odd else []


def _rows(publication: Publication) -> str:
    by_source = publication.rows_loaded
    loaded = ", ".join(
        f"{source.name} {by_source[source.name]:,}"
        for source in SOURCES
        if source.name in by_source
    )
    return f"{sum(publication.rows_loaded.values()):,} ({loaded})"


def _tests(publication: Publication) -> list[tuple[str, str]]:
    """What warns as it did at the publication before is not said again."""
    passed = [("Tests", f"{publication.tests_passed:,} passed")]
    if not publication.warnings:
        return passed
    return [*passed, ("New warnings", listed([_warning(one) for one in publication.warnings]))]


def _warning(warning: Mapping[str, Any]) -> str:
    """``orders_in_the_future of fct_orders (1 new row, 3 in all): order_id=7``."""
    model = f" of {warning['model']}" if warning["model"] else ""
    new, rows, keys = warning["new_rows"], warning["rows"], keys_text(warning["keys"])
    count = counted(new, "new row") + (f", {rows:,} in all" if rows > new else "")
    return f"{warning['test']}{model} ({count})" + (f": {keys}" if keys else "")


def _trouble(day: str) -> Trouble | None:
    try:
        from alerting.store import trouble_of

        return trouble_of(day)
    except Exception as error:
        from pipeline.masking import mask

        logger.error(
            "The store of sent alerts (ALERTS_DATABASE_URL) cannot be used: %s", mask(str(error))
        )
        return None
