"""Why a figure of a settled day is another one than in the publication before: the ledger
``published.restatements``.

A day is settled once a publication is complete beyond it. Every publication is held against the one
before, day by day and measure by measure, by the daily marts; of days that differ the rows are
compared, which gives the causes. What they leave over is ``unexplained``, so that the causes of a
day always add up to the difference, to the cent.

    late order, late payment    a row that the publication before did not have
    deletion                    a row that is gone
    cancellation, reinstatement an order that stopped, or began, to count
    moved to another day        an order or payment with another date
    correction                  other amounts in a row that was loaded again
    changed rule                other amounts in a row that was not: SQL, seed or variable changed
    refund                      a refund that came, changed or failed
    marketing files             spend, by campaign
"""

# ruff: noqa: S608 - names are fixed here, values are bound

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from pipeline.contracts import BIGINT, DATE, TEXT, TIMESTAMP, Column, decimal
from warehouse.publication import Publication
from warehouse.session import Session
from warehouse.tables import create_table

Query = Callable[[str], list[tuple[object, ...]]]

TABLE = "restatements"
COLUMNS = tuple(
    Column(name, of, nullable=name == "load_id")
    for name, of in (
        *(("publication_id", TEXT), ("published_at", TIMESTAMP), ("date_day", DATE)),
        *(("measure", TEXT), ("value_before", decimal(18, 2)), ("value_after", decimal(18, 2))),
        *(("cause", TEXT), ("change", decimal(18, 2)), ("row_count", BIGINT), ("load_id", TEXT)),
    )
)
DAILY = ("orders", "units_sold", "new_customers", "gross_revenue", "refunds", "payments")
NET = "net_revenue"
SPEND = "spend"
# What each row adds to its day. Net revenue is gross revenue less the refunds of the day.
OF_AN_ORDER = {
    "orders": "case when {row}.is_cancelled then 0 else 1 end",
    "units_sold": "case when {row}.is_cancelled then 0 else {row}.unit_count end",
    "new_customers": "case when {row}.is_first_order then 1 else 0 end",
    "gross_revenue": "{row}.gross_revenue",
    NET: "{row}.gross_revenue",
}
OF_A_PAYMENT = {"payments": "{row}.captured_amount"}
OF_A_CAMPAIGN = {SPEND: "{row}.spend"}
SOURCE_OF = {"payments": "charges", "refunds": "charges", SPEND: "marketing"}
_ORDER_CAUSE = """
    when new_row.is_cancelled and not old_row.is_cancelled then 'cancellation'
    when old_row.is_cancelled and not new_row.is_cancelled then 'reinstatement'"""


@dataclass(frozen=True)
class Restatement:
    """One cause of one difference; ``change`` of all causes is ``after`` less ``before``."""

    day: date
    measure: str
    before: Decimal
    after: Decimal
    cause: str
    change: Decimal
    rows: int


def write(
    session: Session,
    schema: str,
    previous: str | None,
    before: Publication | None,
    now: Publication,
) -> None:
    """Add the ledger to a publication that is being made: what it held before, and what is new.

    Args:
        schema: of the publication that is being made; its marts are there.
        previous: schema of the one before, if any.
    """
    create_table(session, f"{schema}.{TABLE}", COLUMNS)
    names = ", ".join(column.name for column in COLUMNS)
    if previous and session.table_if_there(f"select 1 from {previous}.{TABLE} limit 1"):
        session.execute(
            f"insert into {schema}.{TABLE} ({names}) select {names} from {previous}.{TABLE}"
        )
    marts = {"fct_daily_revenue", "fct_orders", "fct_payments", "fct_marketing_performance"}
    if not (previous and before and marts <= before.models.keys() & now.models.keys()):
        return
    found = session.rows(_difference(previous, schema), [before.day] * 2)
    session.insert(
        f"{schema}.{TABLE} ({names})",
        [
            (
                *(now.publication_id, now.published_at, day, measure, old, new, cause, change),
                *(rows, now.load_ids.get(SOURCE_OF.get(measure, "orders"))),
            )
            for day, measure, old, new, cause, change, rows in found
        ],
    )


def of_day(query: Query, day: date) -> list[Restatement]:
    """What has become of the figures of a day since it was first published, the newest last."""
    return _read(query, f"date_day = date '{day}' order by published_at, measure, cause")


def of_publication(query: Query, publication_id: str) -> list[Restatement]:
    """What one publication changed in days that were settled."""
    return _read(query, f"publication_id = '{publication_id}' order by date_day, measure, cause")


def _read(query: Query, condition: str) -> list[Restatement]:
    columns = "date_day, measure, value_before, value_after, cause, change, row_count"
    rows: list[Any] = query(f"select {columns} from published.{TABLE} where {condition}")
    return [
        Restatement(day, measure, Decimal(old), Decimal(new), cause, Decimal(change), int(count))
        for day, measure, old, new, cause, change, count in rows
    ]


def sentences(restatements: Sequence[Restatement]) -> list[str]:
    """``gross_revenue of 2026-11-24: 17,514.42, was 17,498.10: late order +31.20 (2 rows), ...``"""
    grouped: dict[tuple[date, str, Decimal, Decimal], list[Restatement]] = {}
    for one in restatements:
        grouped.setdefault((one.day, one.measure, one.before, one.after), []).append(one)
    return [
        f"{measure} of {day}: {after:,.2f}, was {before:,.2f}: "
        + ", ".join(
            f"{one.cause} {one.change:+,.2f} ({one.rows:,} row{'' if one.rows == 1 else 's'})"
            for one in ones
        )
        for (day, measure, before, after), ones in grouped.items()
    ]


def as_of(query: Query, day: date, publication_id: str) -> dict[str, Decimal]:
    """The measures of a day as a publication had them: today's less what has changed since."""
    names = ", ".join((*DAILY, NET))
    (now,) = query(
        f"select {names} from published.fct_daily_revenue where order_date = date '{day}'"
    ) or [(0,) * (len(DAILY) + 1)]
    figures = dict(zip((*DAILY, NET), (Decimal(str(value)) for value in now), strict=True))
    since = query(
        f"select measure, sum(change) from published.{TABLE} "
        f"where date_day = date '{day}' and publication_id > '{publication_id}' group by measure"
    )
    for measure, change in since:
        if measure in figures:
            figures[str(measure)] -= Decimal(str(change))
    return figures


def _difference(old: str, new: str) -> str:
    """SQL: day, measure, value before and after, cause, its part of the change, rows.

    Its two parameters are the day up to which the publication before is complete.
    """
    compared = ", ".join(
        (
            _compared("orders", "fct_orders", "order_id", "order_date", OF_AN_ORDER, old, new),
            _compared(
                "payments", "fct_payments", "charge_id", "charge_date", OF_A_PAYMENT, old, new
            ),
        )
    )
    parts = [
        _parts("orders", OF_AN_ORDER),
        _parts("payments", OF_A_PAYMENT),
        _parts("campaigns", OF_A_CAMPAIGN),
        "select date_day, 'refunds' as measure, 'refund' as cause, "
        "refunds_after - refunds_before as change, greatest(abs(refund_rows), 1) as row_count "
        "from refunds where refunds_after <> refunds_before",
        f"select date_day, '{NET}', 'refund', cuts_before - cuts_after, "
        "greatest(abs(refund_rows), 1) from refunds where cuts_after <> cuts_before",
    ]
    return f"""
with
measures as ({_daily(old, new)}),
spend as ({_spend(old, new)}),
changed as (
    select date_day, measure, value_before, value_after from measures
    where date_day < ? and value_before <> value_after
    union all
    select date_day, '{SPEND}', value_before, value_after from spend
    where date_day < ? and value_before <> value_after
),
{compared},
campaigns as (
    select
        coalesce(old_row.marketing_performance_key, new_row.marketing_performance_key) as row_key,
        'marketing files' as cause,
        old_row.date_day as day_before, new_row.date_day as day_after,
        old_row.spend as spend_before, new_row.spend as spend_after
    from {old}.fct_marketing_performance as old_row
    full outer join {new}.fct_marketing_performance as new_row
        on old_row.marketing_performance_key = new_row.marketing_performance_key
    where old_row.spend is distinct from new_row.spend
),
refunds as (
    select
        coalesce(a.order_date, b.order_date) as date_day,
        coalesce(b.refunds, 0) as refunds_before, coalesce(a.refunds, 0) as refunds_after,
        coalesce(b.revenue_refunds, 0) as cuts_before, coalesce(a.revenue_refunds, 0) as cuts_after,
        coalesce(a.refund_count, 0) - coalesce(b.refund_count, 0) as refund_rows
    from {old}.fct_daily_revenue as b
    full outer join {new}.fct_daily_revenue as a on a.order_date = b.order_date
),
parts as ({" union all ".join(parts)}),
causes as (
    select date_day, measure, cause, sum(change) as change, sum(row_count) as row_count
    from parts group by date_day, measure, cause having sum(change) <> 0
),
explained as (
    select date_day, measure, sum(change) as change from causes group by date_day, measure
)
select
    changed.date_day, changed.measure, changed.value_before, changed.value_after,
    causes.cause, cast(causes.change as decimal(18, 2)) as change, causes.row_count
from changed
inner join causes on changed.date_day = causes.date_day and changed.measure = causes.measure
union all
select
    changed.date_day, changed.measure, changed.value_before, changed.value_after, 'unexplained',
    cast(
        changed.value_after - changed.value_before - coalesce(explained.change, 0) as decimal(18, 2)
    ),
    0
from changed
left join explained
    on changed.date_day = explained.date_day and changed.measure = explained.measure
where changed.value_after - changed.value_before <> coalesce(explained.change, 0)
"""


def _daily(old: str, new: str) -> str:
    """SQL: every day and measure of the daily mart, before and after."""
    return " union all ".join(
        f"select coalesce(a.order_date, b.order_date) as date_day, '{measure}' as measure, "
        f"cast(coalesce(b.{measure}, 0) as decimal(18, 2)) as value_before, "
        f"cast(coalesce(a.{measure}, 0) as decimal(18, 2)) as value_after "
        f"from {old}.fct_daily_revenue as b "
        f"full outer join {new}.fct_daily_revenue as a on a.order_date = b.order_date"
        for measure in (*DAILY, NET)
    )


def _spend(old: str, new: str) -> str:
    by_day = "select date_day, sum(spend) as spend from {}.fct_marketing_performance group by 1"
    return (
        "select coalesce(a.date_day, b.date_day) as date_day, "
        "cast(coalesce(b.spend, 0) as decimal(18, 2)) as value_before, "
        "cast(coalesce(a.spend, 0) as decimal(18, 2)) as value_after "
        f"from ({by_day.format(old)}) as b "
        f"full outer join ({by_day.format(new)}) as a on a.date_day = b.date_day"
    )


def _compared(
    name: str, mart: str, key: str, day: str, measures: dict[str, str], old: str, new: str
) -> str:
    """SQL: CTEs of the rows of a mart on days that differ, as they were and as they are."""
    values = ", ".join(
        f"{sql.format(row=f'{when}_row')} as {measure}_{suffix}"
        for measure, sql in measures.items()
        for when, suffix in (("old", "before"), ("new", "after"))
    )
    differs = " or ".join(
        f"{sql.format(row='old_row')} is distinct from {sql.format(row='new_row')}"
        for sql in measures.values()
    )
    days = "(select date_day from changed)"
    return f"""
{name}_keys as (
    select {key} from {old}.{mart} where {day} in {days}
    union
    select {key} from {new}.{mart} where {day} in {days}
),
{name} as (
    select
        keys.{key} as row_key,
        case
            when old_row.{key} is null then 'late {name[:-1]}'
            when new_row.{key} is null then 'deletion'
            when old_row._loaded_at = new_row._loaded_at then 'changed rule'
            when old_row.{day} <> new_row.{day} then 'moved to another day'
            {_ORDER_CAUSE if name == "orders" else ""}
            else 'correction'
        end as cause,
        old_row.{day} as day_before, new_row.{day} as day_after, {values}
    from {name}_keys as keys
    left join {old}.{mart} as old_row on keys.{key} = old_row.{key}
    left join {new}.{mart} as new_row on keys.{key} = new_row.{key}
    where old_row.{day} is distinct from new_row.{day} or {differs}
)"""


def _parts(name: str, measures: dict[str, str]) -> str:
    """SQL: what the rows took away from the day they were on, and added to the one they are on."""
    return " union all ".join(
        f"select date_day, '{measure}' as measure, cause, sum(change) as change, "
        "count(*) as row_count from (select date_day, cause, row_key, sum(change) as change from ("
        f"select day_before as date_day, cause, row_key, -{measure}_before as change from {name} "
        "where day_before is not null union all "
        f"select day_after, cause, row_key, {measure}_after from {name} "
        "where day_after is not null) as moves group by date_day, cause, row_key) as by_row "
        "where change <> 0 group by date_day, cause"
        for measure in measures
    )
