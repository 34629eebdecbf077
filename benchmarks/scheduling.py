"""A day as small DAGs tied by Datasets, against one master DAG, on a real Airflow with PostgreSQL.

    python -m benchmarks.scheduling [--scale 1] [--rounds 5] [--first-rounds 2] [--repairs 2]

Both forms take turns on one scheduler, each on a copy of the same warehouse, and load the same day
of the same shop. Time counts from the moment of the trigger, which stands for 06:00, to the arrival
of the green message in the Slack inbox.

- An ordinary day: the shop has been open for a year, the warehouse has all but the last day. This
  is what the goals are for.
- A first day: the warehouse is empty and gets the whole year.
- A repair: on an ordinary day the files of marketing are missing, its extraction fails. They come
    back, the failed task is cleared, the time to the green message counts.

One day that is not measured comes first, so that Airflow's worker processes are there. Everything
lives in a folder of its own, which goes at the end, and on free ports; every process that was
started is ended.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.report import ratio
from benchmarks.scheduling_forms import (
    MASTER_DAG,
    ONE_DAG,
    SMALL_DAGS,
    Day,
    Form,
    Watch,
    median,
    where_the_seconds_go,
)
from pipeline.days import current_day, upper_bound
from pipeline.settings import PROJECT
from sandbox.layout import Layout
from sandbox.processes import SandboxError
from sandbox.shop import live, open_shop
from sandbox.stack import Stack

BROKEN_TASK = "load_csv_marketing"
FORMS = (ONE_DAG, SMALL_DAGS)


@dataclass
class Contest:
    """Both forms on one stack. ``days`` collects what was measured, by kind of day and form."""

    stack: Stack
    day: date
    kept: Path
    days: dict[tuple[str, str], list[Day]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.watch = Watch(self.stack)

    def prepare(self, scale: float) -> None:
        """Open a year of shop and load the day before, unmeasured, as days begin with it."""
        before = self.day - timedelta(days=1)
        print(
            "shop of a year: "
            f"{open_shop(*self.stack.shop_address, scale=scale, until=upper_bound(before))}",
            flush=True,
        )
        for form in FORMS:
            self.empty_warehouse()
            day = self.watch.timed(form, lambda form=form: self.watch.trigger(form, before))  # type: ignore[misc]
            print(f"not measured: {form.name}, first day {day.seconds:.1f} s", flush=True)
        shutil.copytree(self.stack.layout.warehouse, self.kept)
        print(
            "the day after: "
            f"{live(*self.stack.shop_address, upper_bound(before), upper_bound(self.day))}",
            flush=True,
        )

    def empty_warehouse(self) -> None:
        shutil.rmtree(self.stack.layout.warehouse)
        self.stack.layout.warehouse.mkdir()

    def restore_warehouse(self) -> None:
        shutil.rmtree(self.stack.layout.warehouse)
        shutil.copytree(self.kept, self.stack.layout.warehouse)

    def in_turns(
        self, kind: str, rounds: int, prepare: Callable[[], None], run: Callable[[Form], Day]
    ) -> None:
        for number in range(rounds):
            for form in FORMS if number % 2 == 0 else FORMS[::-1]:
                prepare()
                day = run(form)
                self.days.setdefault((kind, form.name), []).append(day)
                print(
                    f"{kind}, {form.name}: {day.seconds:.2f} s, {day.starts} task starts",
                    flush=True,
                )

    def whole_day(self, form: Form) -> Day:
        return self.watch.timed(form, lambda: self.watch.trigger(form, self.day))

    def repaired_day(self, form: Form) -> Day:
        """Break the day, wait until everything is at rest, then measure the repair."""
        dag_id = form.dag_of(BROKEN_TASK)
        with self._without_csv_files():
            run_id = self.watch.trigger(form, self.day)[dag_id]
            self.watch.rest()
        state = self.watch.api.run(dag_id, run_id)["state"]
        if state != "failed":
            raise SandboxError(f"{dag_id} was to fail without its files, but its run is {state}.")
        return self.watch.timed(form, lambda: self.watch.api.clear(dag_id, run_id, BROKEN_TASK))

    @contextmanager
    def _without_csv_files(self) -> Iterator[None]:
        inbox, aside = self.stack.layout.csv_inbox, self.stack.layout.root / "csv_aside"
        inbox.rename(aside)
        inbox.mkdir()
        try:
            yield
        finally:
            inbox.rmdir()
            aside.rename(inbox)

    def median(self, kind: str, form: Form) -> float:
        return median(self.days[kind, form.name])

    def report(self) -> None:
        for (kind, name), days in self.days.items():
            print(
                f"\n{kind}, {name}: medians of {len(days)}, in "
                f"seconds\n{where_the_seconds_go(days)}"
            )
        print()
        for kind in dict.fromkeys(kind for kind, _ in self.days):
            for form in (SMALL_DAGS, ONE_DAG):
                days = self.days[kind, form.name]
                publishing = sum(day.publishing for day in days) / len(days)
                print(
                    f"figure {kind}, {form.name}: {median(days):.2f} s, {days[-1].starts} task "
                    "starts, "
                    f"publication {publishing:.2f} s of it"
                )
        print()
        self.compare(
            "ordinary day",
            "day_vs_master",
            1.15,
            excess="excess_seconds",
            starts=("task_starts", 19),
        )
        self.compare(
            "repair",
            "repair_vs_master",
            1.25,
            excess="repair_excess_seconds",
            starts=("repair_task_starts", 9),
        )
        self.compare("first day", "first_day_vs_master", 1.10)

    def compare(
        self,
        kind: str,
        name: str,
        goal: float,
        *,
        excess: str | None = None,
        starts: tuple[str, int] | None = None,
    ) -> None:
        """The ratios of one kind of day; nothing where there was none.

        ``starts``: task starts of the small DAGs.
        """
        if (kind, ONE_DAG.name) not in self.days:
            return
        ours, master = self.median(kind, SMALL_DAGS), self.median(kind, ONE_DAG)
        ratio(name, ours / master, "<=", goal)
        if excess:
            print(f"figure {excess}: {ours - master:.2f} s")  # no goal: it depends on the machine
        if starts:
            ratio(starts[0], self.days[kind, SMALL_DAGS.name][-1].starts, "<=", starts[1])


def dags_with_master(folder: Path) -> Path:
    """A DAGs folder with the project's DAGs and the master DAG."""
    shutil.copytree(PROJECT / "dags", folder)
    shutil.copy2(Path(__file__).parent / "master_dag" / f"{MASTER_DAG}.py", folder)
    return folder


def end(*_: object) -> None:
    """Told to end: what was started is ended first. `timeout` and a terminal may say it twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit("Told to end.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5, help="ordinary days of each form")
    parser.add_argument("--first-rounds", type=int, default=2, help="first days of each form")
    parser.add_argument("--repairs", type=int, default=2, help="repairs of each form")
    parser.add_argument("--keep", action="store_true", help="keep the folder, for a look at logs")
    arguments = parser.parse_args()
    versions = ", ".join(
        f"{name} {version(name)}"
        for name in ("apache-airflow-core", "dbt-core", "dbt-duckdb", "duckdb")
    )
    print(
        f"python {platform.python_version()}, {psutil.cpu_count()} cores, {versions}, scale "
        f"{arguments.scale:g}",
        flush=True,
    )
    print(f"load average at the beginning: {os.getloadavg()[0]:.1f}", flush=True)

    root = Path(tempfile.mkdtemp(prefix="scheduling-"))
    stack = Stack(
        Layout(root / "sandbox"),
        dags=dags_with_master(root / "dags"),
        # dbt's files apart from those of a sandbox that runs beside.
        extra_env={
            "DBT_TARGET_PATH": str(root / "dbt" / "target"),
            "DBT_LOG_PATH": str(root / "dbt" / "logs"),
        },
    )
    signal.signal(signal.SIGTERM, end)
    try:
        stack.start_stand_ins(print)
        stack.start_airflow(print)
        contest = Contest(stack, current_day(), root / "kept")
        contest.prepare(arguments.scale)
        contest.in_turns(
            "ordinary day", arguments.rounds, contest.restore_warehouse, contest.whole_day
        )
        contest.in_turns(
            "repair", arguments.repairs, contest.restore_warehouse, contest.repaired_day
        )
        contest.in_turns(
            "first day", arguments.first_rounds, contest.empty_warehouse, contest.whole_day
        )
    finally:
        stack.stop(print)
        if not arguments.keep:
            shutil.rmtree(root, ignore_errors=True)
    contest.report()
    print(f"load average at the end: {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
