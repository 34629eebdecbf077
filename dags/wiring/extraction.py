"""The shape of an extraction DAG: load one day of one source, then announce it through the pool of
one slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from airflow.sdk import DAG, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from alerting.callbacks import on_dag_failure
from alerting.deadlines import source_deadline
from alerting.policy import default_args, policy
from pipeline.contracts import Source
from pipeline.days import day_of
from pipeline.errors import AwaitedInputError
from pipeline.sources import source
from wiring.builds import start_build
from wiring.calendar import DAY_PARAM, once_a_day, start_date
from wiring.datasets import PUBLISH_POOL, raw_dataset
from wiring.waiting import wait_for


def extraction_dag(name: str, doc_md: str) -> DAG:
    """The DAG that loads the source of that name every day at 06:00 UTC, or when
    ``PIPELINE_RUN_AT`` says.

    Args:
        name: a source of ``pipeline.sources``.
        doc_md: what the person on call reads in the UI.
    """
    loaded: Source = source(name)
    dataset = raw_dataset(loaded)
    waiting_for = f"its load of {loaded.name}"

    with DAG(
        dag_id=loaded.dag_id,
        description=loaded.description,
        schedule=once_a_day(),
        start_date=start_date(),
        catchup=False,
        max_active_runs=1,
        default_args=default_args(loaded.kind),
        on_failure_callback=on_dag_failure,
        deadline=source_deadline(loaded.dag_id, policy(loaded.kind).sla, waiting_for),
        params={"day": DAY_PARAM},
        tags=["ecommerce", "extraction", loaded.kind],
        doc_md=doc_md,
    ) as dag:

        @task(task_id=loaded.dag_id, doc_md=doc_md)
        def load_day(parts: Iterable[dict[str, Any]] | None = None) -> dict[str, Any]:
            """Load the day, or commit the parts that other tasks have read, and return what the
            event will carry.
            """
            from alerting.sla import watched
            from ingestion.load import load

            context = get_current_context()
            run, day = context["dag_run"], day_of(context["dag_run"])
            with watched(
                loaded.dag_id,
                day,
                policy(loaded.kind).sla,
                run.start_date,
                waiting_for=waiting_for,
                dag_run=run,
            ):
                if parts:
                    from ingestion.postgres.load import commit_parts

                    record = commit_parts(list(parts))
                else:
                    try:
                        record = load(loaded.name, day)
                    except AwaitedInputError as error:
                        wait_for(error, loaded, run)
            return record.as_event()

        @task.short_circuit(
            task_id="publish", outlets=[dataset], pool=PUBLISH_POOL, **default_args("publish")
        )
        def publish(loaded_day: dict[str, Any] | None) -> bool:
            """Announce the loaded day; skipped when its marts have to be rebuilt instead.

            A seventh event would begin a round of six that nothing ever completes, so a source
            announces a day only until all six have. The pool of one slot has two sources never
            announce, or decide, in the same instant.
            """
            from pipeline.gate import result_of
            from warehouse import open_warehouse

            record = result_of(loaded.dag_id, loaded_day, "nothing was loaded")
            context, day = get_current_context(), date.fromisoformat(record["day"])
            identity = _announcement_id(context, record["load_id"])
            if not open_warehouse().announce(identity, day, loaded):
                raise AirflowSkipException(
                    f"All six sources have announced {day} before: its marts are rebuilt."
                )
            event = context["outlet_events"][dataset]
            event.extra = record
            if not context["dag_run"].partition_key:
                event.add_partitions(record["day"])
            return False  # nothing follows an announcement

        @task(
            task_id="rebuild_marts",
            trigger_rule=TriggerRule.NONE_FAILED,
            **default_args("publish"),
        )
        def rebuild_marts(loaded_day: dict[str, Any] | None) -> None:
            """Have a day built again that was complete before this load of it.

            A day that is not complete is left alone: somebody has marked its announcement as done,
            and its build follows when the other sources are there.
            """
            from pipeline.gate import IncompleteDayError, check_complete, result_of
            from warehouse import open_warehouse

            record = result_of(loaded.dag_id, loaded_day, "nothing was loaded")
            day = date.fromisoformat(record["day"])
            try:
                check_complete(day, open_warehouse().load_records(day))
            except IncompleteDayError as error:
                raise AirflowSkipException(str(error)) from None
            why = f"{loaded.name} was loaded again after the day was complete."
            start_build(record["day"], record["load_id"], why)

        loading: Any = _in_parts(loaded, load_day) if _is_split(loaded) else load_day()
        publish(loading) >> rebuild_marts(loading)
    return dag


def _is_split(loaded: Source) -> bool:
    """Whether the table is read by several tasks: only if a setting names it, because two more
    tasks a day cost time.
    """
    if loaded.kind != "postgres":
        return False
    from ingestion.postgres.settings import SplitSettings
    from pipeline.settings import settings

    return bool(settings(SplitSettings).splits(loaded.name))


def _in_parts(loaded: Source, load_day: Any) -> Any:
    """``plan_parts`` -> ``extract_part``, once per part -> the main task, which commits all of them
    as one load.
    """

    @task(task_id="plan_parts")
    def plan_parts() -> list[dict[str, Any]]:
        """One part on an ordinary day; as many as POSTGRES_SPLIT_ROWS asks for where much is to be
        read.
        """
        from ingestion.postgres.load import plan_parts

        return plan_parts(loaded.name, day_of(get_current_context()["dag_run"]))

    @task(task_id="extract_part")
    def extract_part(part: dict[str, Any]) -> int:
        """Read and stage one range of keys; nothing is visible before the main task commits."""
        from ingestion.postgres.load import load_part

        return load_part(part)

    planned = plan_parts()
    committing = load_day(planned)
    extract_part.expand(part=planned) >> committing
    return committing


def _announcement_id(context: Mapping[str, Any], load_id: str) -> str:
    """The same for all tries of one announcement, another one when a person clears the task."""
    ti = context["ti"]
    first_try = ti.max_tries - context["task"].retries + 1
    return f"{load_id}/{ti.dag_id}/{ti.run_id}/{first_try}"
