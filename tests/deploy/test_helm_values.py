"""What the Helm values promise, held against them without a cluster: secrets, rights, image."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pipeline.settings import PROJECT
from pipeline.sources import SOURCES
from tests.builders.helm import (
    COMPONENTS,
    VALUES,
    secrets_in,
    secrets_of,
    secrets_of_all,
    settings_of_all,
)

if TYPE_CHECKING:
    from tests.builders.image_commands import Image

LOCKED = set(
    re.findall(r"^([a-z0-9-]+)==", (PROJECT / "requirements-container.txt").read_text(), re.M)
)
# Scheme: what writes Airflow's task logs there, and what fsspec opens it with.
PROVIDERS = {
    "s3": ("apache-airflow-providers-amazon", "s3fs"),
    "gs": ("apache-airflow-providers-google", "gcsfs"),
    "abfs": ("apache-airflow-providers-microsoft-azure", "adlfs"),
}
BUSINESS_VIEW: dict[str, Any] = next(
    yaml.safe_load_all((PROJECT / "deploy" / "kubernetes" / "business-view.yaml").read_text())
)["spec"]["template"]["spec"]
OF_AIRFLOW = {
    "airflow-metadata",
    "airflow-fernet-key",
    "airflow-api-secret-key",
    "airflow-jwt-secret",
    "airflow-users",
}
EVERY_TASK = {"pipeline-alerts", "pipeline-loader"}
LOADS = {source.dag_id: EVERY_TASK | {"pipeline-sources"} for source in SOURCES}
SECRETS_OF_TASKS = LOADS | {
    "reconcile_sources": EVERY_TASK | {"pipeline-sources"},
    "rebuild_day": EVERY_TASK,
    "ecommerce_dbt": EVERY_TASK | {"pipeline-transformer"},
    "ecommerce_sla_monitor": EVERY_TASK | {"pipeline-transformer"},
}


def scheme(address: str) -> str:
    return address.partition("://")[0]


# --- the image


def test_the_provider_of_the_log_folders_scheme_is_in_the_image() -> None:
    assert PROVIDERS[scheme(VALUES["config"]["logging"]["remote_base_log_folder"])][0] in LOCKED


def test_every_object_store_of_the_settings_can_be_opened_in_the_image() -> None:
    stores = {name: scheme(settings_of_all()[name]) for name in ("CSV_INBOX", "DBT_DOCS_PATH")}
    assert {PROVIDERS[store][1] for store in stores.values()} <= LOCKED


# --- secrets


def test_a_component_has_the_secrets_that_its_work_needs() -> None:
    database = {"airflow-metadata"}
    assert secrets_of_all() == set()
    assert secrets_of("migrateDatabaseJob") == database
    assert secrets_of("cleanup") == set()
    assert secrets_of("apiServer") == OF_AIRFLOW | {"pipeline-alerts"}
    assert secrets_of("scheduler") == database | {"airflow-fernet-key", "airflow-jwt-secret"}
    assert secrets_of("dagProcessor") == database | {"airflow-fernet-key", "pipeline-alerts"}
    assert secrets_of("triggerer") == database | {
        "airflow-fernet-key",
        "airflow-api-secret-key",
        "pipeline-alerts",
        "pipeline-loader",
    }
    assert secrets_in(BUSINESS_VIEW) == {"pipeline-dashboard"}


@pytest.mark.slow
def test_a_task_pod_gets_the_secrets_of_its_dag_and_none_of_airflow(image: Image) -> None:
    pods = json.loads(image.script("task_pods.py", *SECRETS_OF_TASKS))
    of_all = secrets_of_all() | secrets_in(VALUES["workers"])
    got = {dag_id: of_all | secrets_in(pod) for dag_id, pod in pods.items()}
    assert got == SECRETS_OF_TASKS
    assert not any(secrets & OF_AIRFLOW for secrets in got.values())
    assert {pod["spec"]["automountServiceAccountToken"] for pod in pods.values()} == {False}


def test_every_dag_is_among_those_whose_secrets_are_checked() -> None:
    files = [path.read_text() for path in (PROJECT / "dags").glob("*.py")]
    own = {found for text in files for found in re.findall(r'dag_id="(\w+)",\n', text)}
    assert own | {source.dag_id for source in SOURCES} == set(SECRETS_OF_TASKS)
    for text in files:
        for dag_id in re.findall(r'^    dag_id="(\w+)",$', text, re.M):
            uses_dbt = re.search(r"^ +(import|from) transform\b", text, re.M) is not None
            assert uses_dbt == ("pipeline-transformer" in SECRETS_OF_TASKS[dag_id]), dag_id


def test_no_variable_that_every_container_has_is_a_secret() -> None:
    from pipeline.secret_forms import SENSITIVE_NAME

    assert not [name for name in settings_of_all() if SENSITIVE_NAME.search(name)]
    assert "extraEnvFrom" not in VALUES and "secret" not in VALUES


def test_every_secret_of_the_values_is_made_in_the_guide_and_no_other() -> None:
    guide = (PROJECT / "docs" / "kubernetes.md").read_text()
    made = set(re.findall(r"create secret generic ([\w-]+)", guide))
    by_hook = set().union(*SECRETS_OF_TASKS.values())
    parts = [VALUES[part] for part in (*COMPONENTS, "migrateDatabaseJob", "workers")]
    assert made == secrets_in(parts) | by_hook | secrets_in(BUSINESS_VIEW)


# --- what a pod may do


@pytest.mark.parametrize(
    ("pod", "container"),
    [
        (VALUES["securityContexts"]["pod"], VALUES["securityContexts"]["containers"]),
        (BUSINESS_VIEW["securityContext"], BUSINESS_VIEW["containers"][0]["securityContext"]),
    ],
    ids=["chart", "business view"],
)
def test_pods_keep_to_the_restricted_standard(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    assert pod["runAsNonRoot"] is True and pod["runAsUser"] > 0
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_what_the_values_have_written_lies_where_a_pod_may_write() -> None:
    written = [
        value
        for name, value in settings_of_all().items()
        if name in ("HOME", "SNOWFLAKE_STAGING_DIR", "DBT_TARGET_PATH", "DBT_LOG_PATH")
    ]
    written.append(VALUES["config"]["core"]["simple_auth_manager_passwords_file"])
    assert len(written) == 5
    assert all(path == "/tmp" or path.startswith("/tmp/") for path in written)
    empty = {volume["name"] for volume in VALUES["volumes"] if volume.get("emptyDir") == {}}
    mounted = {mount["mountPath"]: mount["name"] for mount in VALUES["volumeMounts"]}
    assert mounted["/tmp"] in empty
    # The chart mounts logs everywhere else.
    assert {"name": "own-logs", "mountPath": "/opt/airflow/logs"} in VALUES["apiServer"][
        "extraVolumeMounts"
    ]


def test_a_service_called_postgres_does_not_change_our_settings() -> None:
    assert VALUES["enableServiceLinks"] is False
    assert BUSINESS_VIEW["enableServiceLinks"] is False


def test_probes_leave_a_busy_node_time() -> None:
    for component in ("apiServer", "scheduler"):
        startup = VALUES[component]["startupProbe"]
        assert startup["failureThreshold"] * startup["periodSeconds"] >= 300
    for component in ("scheduler",):
        for probe in ("startupProbe", "livenessProbe"):
            assert VALUES[component][probe]["command"][-1] == "http://localhost:8974/health"
    assert VALUES["config"]["scheduler"]["enable_health_check"] == "True"
    for component in ("dagProcessor", "triggerer"):
        probe = VALUES[component]["livenessProbe"]
        assert probe["timeoutSeconds"] >= 60 and probe["periodSeconds"] > probe["timeoutSeconds"]


def test_links_lead_to_where_the_ui_is() -> None:
    assert settings_of_all()["AIRFLOW_UI_URL"] == VALUES["config"]["api"]["base_url"]


def test_only_what_runs_twice_has_a_disruption_budget() -> None:
    for component in COMPONENTS:
        twice = VALUES[component].get("replicas", 1) > 1
        budget = VALUES[component].get("podDisruptionBudget", {"enabled": False})
        assert budget["enabled"] == twice, component


def test_task_pods_reach_the_api_server_through_the_network_policy() -> None:
    assert VALUES["networkPolicies"]["enabled"]
    # The label that the chart's pod template gives every task pod.
    assert {"podSelector": {"matchLabels": {"tier": "airflow"}}} in VALUES["apiServer"][
        "networkPolicy"
    ]["ingress"]["from"]


def test_settings_of_the_values_are_settings_of_the_project() -> None:
    known = set(re.findall(r"^#? ?([A-Z0-9_]+)=", (PROJECT / ".env.example").read_text(), re.M))
    of_others = {"HOME", "CONNECTION_CHECK_MAX_COUNT"}
    ours = {name for name in settings_of_all() if not name.startswith("AIRFLOW__")}
    assert ours - of_others <= known
