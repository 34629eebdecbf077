"""Prints the pods that the KubernetesExecutor makes for a task of each DAG.

Runs in the image's environment, with the hook of `airflow_local_settings.py` on the path.

    python task_pods.py DAG ...
"""

import json
import sys

from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from kubernetes.client import ApiClient
from kubernetes.client import models as k8s

template = k8s.V1Pod(
    metadata=k8s.V1ObjectMeta(), spec=k8s.V1PodSpec(containers=[k8s.V1Container(name="base")])
)
pods = {
    dag_id: PodGenerator.construct_pod(
        dag_id=dag_id,
        task_id="any",
        pod_id="any",
        try_number=1,
        kube_image="image",
        date=None,
        args=[],
        pod_override_object=None,
        base_worker_pod=template,
        namespace="pipeline",
        scheduler_job_id="1",
        with_mutation_hook=True,
    )
    for dag_id in sys.argv[1:]
}
print(json.dumps(ApiClient().sanitize_for_serialization(pods)))
