"""Queues the task of a DAG's only run and prints what the KubernetesExecutor has its pod execute.

Runs in the image's environment, in the scheduler's place.

    python queued_task.py DAG
"""

import json
import sys

from airflow.executors.workloads import ExecuteTask
from airflow.models.dagrun import DagRun
from airflow.providers.cncf.kubernetes.executors.kubernetes_executor import KubernetesExecutor
from airflow.providers.cncf.kubernetes.pod_generator import workload_to_command_args
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import select

with create_session() as session:
    run = session.scalars(select(DagRun).where(DagRun.dag_id == sys.argv[1])).one()
    run.state = DagRunState.RUNNING
    (task,) = run.task_instances
    task.state, task.try_number = TaskInstanceState.QUEUED, 1
    session.flush()
    work = ExecuteTask.make(task, generator=KubernetesExecutor().jwt_generator)
print(json.dumps({"run_id": work.ti.run_id, "command": workload_to_command_args(work)}))
