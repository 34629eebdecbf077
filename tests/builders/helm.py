"""The Helm values as the chart makes containers of them.

The chart itself is not at hand where the tests run. What of it counts here follows its templates:
`standard_airflow_environment`, `custom_airflow_environment` and `container_extra_envs` in
`templates/_helpers.yaml`, `files/pod-template-file.kubernetes-helm-yaml`, the deployments.
"""

from __future__ import annotations

import configparser
import io
from typing import Any

import yaml

from pipeline.settings import PROJECT

VALUES: dict[str, Any] = yaml.safe_load((PROJECT / "deploy" / "helm" / "values.yaml").read_text())
COMPONENTS = ("apiServer", "scheduler", "dagProcessor", "triggerer")
# Variable: the value that names its Secret, and the key in it.
BUILT_IN = {
    "AIRFLOW__CORE__FERNET_KEY": VALUES["fernetKeySecretName"],
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": VALUES["data"]["metadataSecretName"],
    "AIRFLOW_CONN_AIRFLOW_DB": VALUES["data"]["metadataSecretName"],
    "AIRFLOW__API__SECRET_KEY": VALUES["apiSecretKeySecretName"],
    "AIRFLOW__API_AUTH__JWT_SECRET": VALUES["jwtSecretName"],
}


def airflow_cfg() -> str:
    """The `airflow.cfg` of the chart's ConfigMap, as far as the values say it."""
    parser = configparser.RawConfigParser()
    parser.read_dict(VALUES["config"])
    parser["core"]["executor"] = VALUES["executor"]
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def settings_of_all() -> dict[str, str]:
    """Variables that every container has."""
    return {entry["name"]: entry["value"] for entry in VALUES["env"]}


def secrets_of_all() -> set[str]:
    """Secrets that every container has, task pods included."""
    built_in = {
        secret
        for variable, secret in BUILT_IN.items()
        if VALUES["enableBuiltInSecretEnvVars"].get(variable, True)
    }
    everywhere = [VALUES.get("volumes"), VALUES.get("secret"), VALUES.get("env")]
    listed = {entry["secretName"] for entry in VALUES.get("secret", ())}
    named = secrets_in(everywhere) | listed
    text = str(VALUES.get("extraEnvFrom", "")) + str(VALUES.get("extraEnv", ""))
    return built_in | named | secrets_in(yaml.safe_load(text) if text else None)


def secrets_of(component: str) -> set[str]:
    """Secrets of one component or job, those of all included."""
    return secrets_of_all() | secrets_in(VALUES[component])


def secrets_in(part: Any) -> set[str]:
    """Every Secret that a part of a manifest refers to, wherever it stands."""
    if isinstance(part, dict):
        found = {part["secretName"]} if "secretName" in part else set()
        for name, inner in part.items():
            if name in ("secretKeyRef", "secretRef"):
                found.add(inner["name"])
            else:
                found |= secrets_in(inner)
        return found
    if isinstance(part, list):
        return set().union(*map(secrets_in, part))
    return set()
