"""Has `ecommerce_dbt` build a day that its Datasets do not call for: corrections, lost events.

The run is started by a plain task. Airflow's Assets view draws each TriggerDagRunOperator as a box
of its own, and nothing but the lineage is to be seen there. A task can give the run no partition
key (Airflow 3.3), so the day is in its conf.

Every call makes a run that waits its turn, also while `ecommerce_dbt` is paused, so that none is
lost. A run whose day another one has built since it was called for ends at its gate.
"""

from __future__ import annotations

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException, DagRunTriggerException

from alerting.policy import default_args
from pipeline.day_report import DBT_DAG


def start_build(day: str, cause: str, why: str) -> None:
    """Start the run of `ecommerce_dbt` that this cause calls for, unless it waits or runs already.

    Args:
        day: YYYY-MM-DD, complete.
        cause: what the build has to hold or who asked for it, for example the id of a load. One
            cause has one run: after a lost answer it is not started twice, and one that is over is
            run again.
        why: the note on the run, for people.
    """
    run_id = f"build__{day}__{cause}"
    ti = get_current_context()["ti"]
    if ti.get_dr_count(DBT_DAG, run_ids=[run_id], states=["queued", "running"]):
        raise AirflowSkipException(f"The run {run_id} of {DBT_DAG} waits or runs already.")
    raise DagRunTriggerException(
        trigger_dag_id=DBT_DAG,
        dag_run_id=run_id,
        conf={"day": day},
        note=why,
        reset_dag_run=True,
        skip_when_already_exists=False,
        wait_for_completion=False,
        allowed_states=[],
        failed_states=[],
        poke_interval=0,
        deferrable=False,
    )


build_day = task(
    task_id="build_day",
    max_active_tis_per_dagrun=1,  # a range is built in the order of its days
    map_index_template="{{ task.op_kwargs['day'] }}",
    **default_args("publish"),
)(start_build)
