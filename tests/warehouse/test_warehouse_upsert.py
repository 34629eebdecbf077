"""Property of the upsert: any sequence of loads ends in the source's state, no row grows older."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.records import Window
from pipeline.sources import PRODUCTS, source
from tests.builders.chance import examples
from warehouse import Load
from warehouse.arrow import schema_of
from warehouse.duckdb.warehouse import DuckDBWarehouse
from warehouse.settings import WarehouseSettings

DAY = date(2026, 11, 22)
T0 = datetime(2026, 1, 1)
SHOP = source("products")
KEYS = st.integers(1, 3)

# What happens, alone and in the combinations that go wrong: several times in a row it makes a
# history.
Step = tuple[object, ...]
# With or without the clock moving on.
change = st.tuples(st.just("change"), KEYS, st.sampled_from("abcd"), st.booleans())
remove = st.tuples(st.just("remove"), KEYS)
begin = st.tuples(st.just("begin"), st.integers(0, 8))  # a window that reaches back so far
refresh = st.just(("refresh",))
commit = st.tuples(st.just("commit"), st.integers(0, 3))
commit_first, commit_last = st.just(("commit", 0)), st.just(("commit", -1))
discard = st.tuples(st.just("discard"), st.integers(0, 3))
reconcile = st.just(("reconcile",))


def row(*happens: st.SearchStrategy[Step]) -> st.SearchStrategy[tuple[Step, ...]]:
    return st.tuples(*happens)


histories = st.lists(
    st.one_of(
        row(change, begin, commit_last),
        row(begin | refresh, change, begin, commit_last, commit_first),  # two loads cross
        row(remove, reconcile, change, begin, commit_last),  # a row that comes again
        row(begin, remove, reconcile, commit_last),  # read before it went
        row(change | remove, begin | refresh, commit | discard),
    ),
    min_size=2,
    max_size=4,
)


class Shop:
    """The source: rows by key, with name and version; removed rows leave no trace."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[str, int]] = {}
        self.clock = 0

    def batch(self, since: int) -> pa.RecordBatch:
        schema = schema_of(PRODUCTS)
        rows = [
            dict.fromkeys(schema.names)
            | {
                "product_id": key,
                "name": name,
                "price": 1,
                "updated_at": T0 + timedelta(minutes=version),
            }
            for key, (name, version) in self.rows.items()
            if version >= since
        ]
        return pa.RecordBatch.from_pylist(rows, schema=schema)


class Pipeline:
    """A shop, its warehouse, and the loads that are under way."""

    def __init__(self, folder: Path) -> None:
        self.shop = Shop()
        self.warehouse = DuckDBWarehouse(WarehouseSettings(_env_file=None, duckdb_dir=folder))  # type: ignore[call-arg]
        self.under_way: list[tuple[ExitStack, Load, bool]] = []
        self.loaded = False

    def begin(self, since: int, *, refresh: bool = False) -> None:
        stack = ExitStack()
        load = stack.enter_context(self.warehouse.begin_load(SHOP, DAY, Window(None, T0)))
        load.stage(PRODUCTS, [self.shop.batch(since)])
        self.under_way.append((stack, load, refresh))

    def end(self, number: int, *, commit: bool) -> None:
        if self.under_way:
            stack, load, refresh = self.under_way.pop(number % len(self.under_way))
            with stack:
                if commit:
                    load.commit(None, replace=refresh)
                    self.loaded = True

    def reconcile(self) -> None:
        seen_at = max(
            (record.committed_at for record in self.warehouse.load_records(DAY)), default=T0
        )
        gone = sorted(self.stored().keys() - self.shop.rows.keys())
        self.warehouse.mark_deleted(
            PRODUCTS,
            [pa.RecordBatch.from_pydict({"product_id": pa.array(gone, pa.int64())})],
            seen_at,
        )

    def stored(self) -> dict[int, tuple[str, int]]:
        """The rows that are alive in the warehouse."""
        if not self.loaded:
            return {}
        rows = self.warehouse.query(
            "select product_id, name, date_diff('minute', timestamp '2026-01-01', updated_at) "
            "from ecommerce_raw.postgres.raw_products where _deleted_at is null"
        )
        assert len({row[0] for row in rows}) == len(rows), "a row was doubled"
        return {row[0]: (row[1], row[2]) for row in rows}  # type: ignore[misc]

    def take(self, step: Step) -> None:
        match step:
            case ("change", int(key), str(name), bool(later)):
                self.shop.clock += later
                self.shop.rows[key] = (name, self.shop.clock)
            case ("remove", int(key)):
                self.shop.clock += 1
                self.shop.rows.pop(key, None)
            case ("begin", int(reach)):
                self.begin(self.shop.clock - reach)
            case ("refresh",):
                self.begin(0, refresh=True)
            case ("discard", int(number)):
                self.end(number, commit=False)
            case ("commit", int(number)):
                before = self.stored()
                self.end(number, commit=True)
                after = self.stored()
                assert all(
                    after[key][1] >= before[key][1] for key in before.keys() & after.keys()
                ), "a row has grown older"
            case ("reconcile",):
                self.reconcile()


@settings(
    max_examples=examples(10, 300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=histories)
def test_any_sequence_of_changes_and_loads_ends_in_the_sources_state(
    tmp_path: Path, history: list[tuple[Step, ...]]
) -> None:
    folder = tmp_path / "warehouse"
    shutil.rmtree(folder, ignore_errors=True)
    pipeline = Pipeline(folder)
    for key in (1, 2):
        pipeline.take(("change", key, "a", True))
    pipeline.begin(0)
    pipeline.end(0, commit=True)
    for step in (step for steps in history for step in steps):
        pipeline.take(step)
    while pipeline.under_way:
        pipeline.end(0, commit=True)
    pipeline.begin(0)
    pipeline.end(0, commit=True)
    pipeline.reconcile()
    assert pipeline.stored() == pipeline.shop.rows
    assert [path.name for path in (folder / "staged").iterdir()] == [".lock"]
