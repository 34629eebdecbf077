"""What the monitor looks at beside the day itself: the days before it that never became complete,
and DAG files that Airflow cannot read.
"""

from __future__ import annotations

import runpy
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

from pipeline.sources import SOURCES


def incomplete_days(
    rows_loaded: Mapping[str, Mapping[date, int]], first: date, last: date
) -> dict[date, list[str]]:
    """The days from ``first`` to ``last`` after the last complete one, oldest first, with the
    sources that each lacks.

    A day is complete when all six sources have loaded it. What lies before the first load of all is
    no gap.

    Args:
        rows_loaded: rows by source and day, as ``Warehouse.rows_loaded`` has them.
    """
    loaded = [(day, source) for source, days in rows_loaded.items() for day in days]
    begin = min((day for day, _ in loaded), default=last + timedelta(days=1))
    lacking: dict[date, list[str]] = {}
    day = last
    while day >= max(first, begin):
        missing = [source.name for source in SOURCES if (day, source.name) not in loaded]
        if not missing:
            break
        lacking[day] = missing
        day -= timedelta(days=1)
    return dict(sorted(lacking.items()))


def sentences_about(incomplete: Mapping[date, Sequence[str]]) -> list[str]:
    """``2026-11-21 lacks orders, charges.``; days that lack all six share one sentence."""
    nothing = [str(day) for day, names in incomplete.items() if len(names) == len(SOURCES)]
    said = [
        f"{day} lacks {', '.join(names)}."
        for day, names in incomplete.items()
        if len(names) < len(SOURCES)
    ]
    if nothing:
        said.append(f"Nothing was loaded for {', '.join(nothing)}: back-fill, if they count.")
    return said


def unreadable(dags_folder: Path) -> list[str]:
    """A sentence for each DAG file that cannot be read here: Airflow starts no run of its DAG."""
    said = []
    for file in sorted(dags_folder.glob("*.py")):
        try:
            runpy.run_path(str(file))
        except (Exception, SystemExit) as error:
            from pipeline.masking import mask

            first = mask(str(error)).strip().partition("\n")[0]
            said.append(
                f"The DAG file {file.name} cannot be read, so its DAG starts no run: "
                f"{type(error).__name__}: {first.rstrip('.')}."
            )
    return said
