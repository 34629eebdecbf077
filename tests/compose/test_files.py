"""What of the containers can be checked without an engine: generated configuration, secrets, the
compose file, Helm values.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from pydantic import ValidationError
from sqlalchemy import make_url

from pipeline.errors import SettingsError
from pipeline.settings import PROJECT
from sandbox.containers import shop
from sandbox.containers.configuration import SLACK_INBOX, STRIPE_EMULATOR, configure
from sandbox.containers.env_file import add_secrets
from sandbox.containers.settings import ContainerSettings, RealSystems
from sandbox.containers.setup import MOUNTED, SetupError, check_mounts

COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
HELM = yaml.safe_load((PROJECT / "deploy" / "helm" / "values.yaml").read_text())


def containers(**settings: Any) -> ContainerSettings:
    return ContainerSettings(_env_file=None, **settings)


def real(**settings: Any) -> RealSystems:
    return RealSystems(_env_file=None, **settings)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    for name in (*ContainerSettings.model_fields, *RealSystems.model_fields):
        monkeypatch.delenv(name.upper(), raising=False)
    config, passwords = tmp_path / "config", tmp_path / "passwords"
    config.mkdir()
    for service in ("source", "airflow", "redis"):
        (passwords / service).mkdir(parents=True)
    return config, passwords


def cfg(folder: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(folder / "airflow.cfg")
    return parser


# --- generated configuration
# --------------------------------------------------------------------------------------------------


def test_secrets_are_generated_once_and_kept(folders: tuple[Path, Path]) -> None:
    first = configure(*folders, containers(), real())
    assert len(set(first.values())) == len(first)
    assert min(map(len, first.values())) >= 12
    assert configure(*folders, containers(), real(), "CeleryExecutor") == first
    assert cfg(folders[0])["core"]["executor"] == "CeleryExecutor"
    assert cfg(folders[0])["celery"]["result_backend"].startswith("db+postgresql+psycopg2://"), (
        "SQLAlchemy's default is not installed"
    )


def test_a_superuser_of_an_earlier_release_keeps_its_password(folders: tuple[Path, Path]) -> None:
    """The pipeline read as the superuser then; PostgreSQL keeps what it was made with."""
    before = configure(*folders, containers(), real())
    generated = folders[0] / "generated.json"
    del before["superuser_password"]
    generated.write_text(json.dumps(before))
    after = configure(*folders, containers(), real())
    assert after["superuser_password"] == before["postgres_password"]
    assert after["postgres_password"] != before["postgres_password"]
    assert configure(*folders, containers(), real()) == after


def test_what_the_env_file_names_wins_and_goes_when_it_goes(folders: tuple[Path, Path]) -> None:
    generated = configure(*folders, containers(), real())["airflow_admin_password"]
    chosen = configure(*folders, containers(airflow_admin_password="chosen-by-a-person"), real())
    assert chosen["airflow_admin_password"] == "chosen-by-a-person"
    assert json.loads((folders[0] / "passwords.json").read_text())["admin"] == "chosen-by-a-person"
    assert configure(*folders, containers(), real())["airflow_admin_password"] == generated


def test_a_password_with_any_character_reaches_the_databases_unchanged(
    folders: tuple[Path, Path],
) -> None:
    awkward = "p%s/w@rd:#? x"
    configure(
        *folders, containers(airflow_database_password=awkward, redis_password="r%d/@:1"), real()
    )
    assert (folders[1] / "airflow" / "password").read_text() == awkward
    metadata = urlsplit(cfg(folders[0])["database"]["sql_alchemy_conn"])
    assert unquote(metadata.password or "") == awkward
    assert unquote(urlsplit(cfg(folders[0])["celery"]["broker_url"]).password or "") == "r%d/@:1"


def test_only_the_owner_reads_the_secrets_of_airflow(folders: tuple[Path, Path]) -> None:
    configure(*folders, containers(), real())
    assert {stat.S_IMODE(file.stat().st_mode) for file in folders[0].iterdir()} == {0o600}


def test_the_stand_ins_step_aside_for_real_systems(folders: tuple[Path, Path]) -> None:
    configure(*folders, containers(), real())
    embedded = (folders[0] / "pipeline.env").read_text()
    assert (
        STRIPE_EMULATOR in embedded and SLACK_INBOX in embedded and "POSTGRES_PASSWORD=" in embedded
    )
    assert shop.embedded(real())
    named = real(
        postgres_host="db.example.com",
        stripe_api_key="rk_live_1",
        slack_webhook_url="https://hooks.example.com/1",
    )
    configure(*folders, containers(), named)
    assert (folders[0] / "pipeline.env").read_text() == ""


@pytest.mark.parametrize(
    "system",
    [{"postgres_host": "db"}, {"stripe_api_key": "rk_live_1"}, {"csv_inbox": "s3://bucket/inbox"}],
)
def test_the_demo_shop_never_writes_to_a_real_system(
    system: dict[str, str], folders: tuple[Path, Path]
) -> None:
    assert not shop.embedded(real(**system))


def test_the_password_of_a_real_database_does_not_become_that_of_the_demo(
    folders: tuple[Path, Path],
) -> None:
    used = configure(
        *folders,
        containers(),
        real(postgres_host="db.example.com", postgres_password="theirs-not-ours"),
    )
    assert used["postgres_password"] != "theirs-not-ours"
    written = [file.read_text() for file in (folders[1] / "source").iterdir()]
    assert len(written) == 2 and "theirs-not-ours" not in "".join(written)


@pytest.mark.parametrize("name", ["airflow_admin_password", "airflow_viewer_password"])
def test_a_password_that_can_be_guessed_needs_a_private_address(
    name: str, folders: tuple[Path, Path]
) -> None:
    assert containers(**{name: "admin"})
    with pytest.raises(
        ValidationError,
        match=f"{name.upper()} has fewer than 12 characters, and BIND_ADDRESS=0.0.0.0 lets others",
    ):
        containers(**{name: "admin", "bind_address": "0.0.0.0"})


def test_the_source_needs_a_real_password_too_where_others_reach_it(
    folders: tuple[Path, Path],
) -> None:
    configure(*folders, containers(), real(postgres_password="postgres"))
    with pytest.raises(SettingsError, match="POSTGRES_PASSWORD has fewer than 12 characters"):
        configure(*folders, containers(bind_address="0.0.0.0"), real(postgres_password="postgres"))


# --- secrets in .env
# --------------------------------------------------------------------------------------------------


def test_one_command_generates_what_the_env_file_lacks(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("STRIPE_API_KEY=rk_live_1\nPOSTGRES_PASSWORD=\nAIRFLOW_ADMIN_PASSWORD=mine\n")
    command = [
        sys.executable,
        "-S",
        "-m",
        "sandbox.containers",
        "env",
        "--file",
        str(file),
    ]  # no package is needed
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert "POSTGRES_PASSWORD" in done.stdout
    text = file.read_text()
    assert not set(re.findall("=(.{12,})", text)) & set(done.stdout.split()), "a secret is printed"
    assert (
        text.startswith("STRIPE_API_KEY=rk_live_1\n") and text.count("AIRFLOW_ADMIN_PASSWORD") == 1
    )
    assert re.search("^POSTGRES_PASSWORD=.{20,}$", text, re.MULTILINE)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert add_secrets(file) == []
    assert file.read_text() == text


def test_no_password_is_invented_for_a_database_that_is_not_ours(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("POSTGRES_HOST=db.example.com\n")
    assert "POSTGRES_PASSWORD" not in add_secrets(file)


# --- compose, image, Helm
# --------------------------------------------------------------------------------------------------


def checked(program: str, *patterns: str) -> str:
    """What a linter of the environment says of the files."""
    files = {pattern: sorted(PROJECT.glob(pattern)) for pattern in patterns}
    assert all(files.values()), files
    command = [
        Path(sys.executable).with_name(program),
        *(file for found in files.values() for file in found),
    ]
    return subprocess.run(command, capture_output=True, text=True).stdout


def test_hadolint_finds_nothing_in_the_image_and_the_stand_ins() -> None:
    assert checked("hadolint", "Dockerfile", "tests/compose/stand_ins/*/Dockerfile") == ""


def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    assert (
        checked(
            "shellcheck",
            ".ci/run",
            "sandbox/*.sh",
            "tests/compose/*.sh",
            "tests/compose/stand_ins/*/*entrypoint",
        )
        == ""
    )


@pytest.mark.parametrize("profile", ["", "celery"])
def test_compose_accepts_the_file_without_a_word(profile: str) -> None:
    command = ["docker", "compose"]
    if (
        shutil.which("docker") is None
        or subprocess.run([*command, "version"], capture_output=True).returncode
    ):
        pytest.skip(
            "docker compose is not at hand: only `make test-compose` has it read docker-compose.yml"
        )
    environment = {**os.environ, "COMPOSE_PROFILES": profile}
    done = subprocess.run(
        [*command, "config", "--quiet"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_service_is_limited_logged_and_looked_after() -> None:
    for name, service in COMPOSE["services"].items():
        once = service["restart"] == "no"
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == [
            "no-new-privileges:true"
        ], name
        assert service["pids_limit"] and service.get("read_only", name.startswith("airflow-")), name
        assert service["mem_limit"] and service["logging"]["options"]["max-size"], name
        assert once or service["restart"] == "unless-stopped", name
        assert once or service["healthcheck"]["test"], name
        assert all(needed["condition"] for needed in service.get("depends_on", {}).values()), name
        runs_tasks = (
            service["command"].split()[0] in ("scheduler", "celery")
            if "command" in service
            else False
        )
        assert not runs_tasks or service["stop_grace_period"] == "10m", name
    assert [name for name, service in COMPOSE["services"].items() if "build" in service] == [
        "configure"
    ]


def test_a_service_gets_no_secret_of_another() -> None:
    services = COMPOSE["services"]
    airflow = {name for name in services if name.startswith("airflow-")}
    told = {name for name, service in services.items() if "env_file" in service}
    assert told == {*airflow, "configure", "configure-celery"}
    mounts = {
        name: {volume.split(":")[0] for volume in service.get("volumes", ())}
        for name, service in services.items()
    }
    holders = {
        volume: {name for name, mounted in mounts.items() if volume in mounted}
        - {
            "configure",
            "configure-celery",
        }
        for volume in COMPOSE["volumes"]
        if volume == "config" or volume.startswith("passwords")
    }
    assert holders == {
        "config": airflow,
        "passwords-source": {"postgres-source", "demo-shop"},
        "passwords-airflow": {"postgres-airflow"},
        "passwords-redis": {"redis"},
    }
    assert {volume for volume in mounts["business-view"] if volume[0] != "."} == {"published"}


def test_the_source_cannot_reach_airflows_database_nor_the_view_anybody() -> None:
    networks = {name: set(of.get("networks", ())) for name, of in COMPOSE["services"].items()}
    assert networks["postgres-airflow"] == networks["redis"] == {"airflow"}
    for outside in ("postgres-source", "demo-shop", "stripe-emulator", "slack-inbox"):
        assert networks[outside] == {"systems"}, outside
    assert [name for name, found in networks.items() if "view" in found] == ["business-view"]


def test_no_secret_stands_in_the_compose_file() -> None:
    assert not re.search(
        r"(PASSWORD|SECRET|FERNET|KEY): +(?![\"']?[$/])\S",
        (PROJECT / "docker-compose.yml").read_text(),
    )


def test_ports_are_open_to_this_machine_only_unless_asked_otherwise() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith(("${BIND_ADDRESS:-127.0.0.1}:", "127.0.0.1:")) for port in ports)


def test_what_is_mounted_for_live_editing_is_what_the_set_up_checks_and_the_image_holds() -> None:
    mounted = {
        volume.split(":")[0].removeprefix("./")
        for volume in COMPOSE["x-airflow-common"]["volumes"]
        if volume[0] == "."
    }
    assert mounted == {*MOUNTED, "sandbox"}
    assert mounted <= set(
        re.findall("^!(.+)$", (PROJECT / ".dockerignore").read_text(), re.MULTILINE)
    )


def test_a_folder_that_the_containers_cannot_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    check_mounts(tmp_path, ["dags"])
    with pytest.raises(
        SetupError, match=r"The folder transform of the project cannot be read.*chmod -R go"
    ):
        check_mounts(tmp_path, ["dags", "transform"])


def test_the_helm_values_name_options_that_this_airflow_has() -> None:
    from airflow.configuration import conf

    known = conf.configuration_description
    missing = {
        (section, option)
        for section, options in HELM["config"].items()
        for option in options
        if option not in known.get(section, {"options": {}})["options"]
    }
    assert missing == set()
    assert HELM["executor"] == "KubernetesExecutor"
    assert {"name": "WAREHOUSE_KIND", "value": "snowflake"} in HELM["env"], (
        "pods share no files, so DuckDB cannot be used"
    )
    assert HELM["createUserJob"] == {"enabled": False}, (
        "the simple auth manager has no command that would create one"
    )


def test_the_databases_of_the_documentation_are_reached_by_a_driver_of_the_image() -> None:
    guide = (PROJECT / "docs" / "kubernetes.md").read_text()
    addresses = re.findall(r"(?:connection|ALERTS_DATABASE_URL)=(\S+)", guide)
    assert len(addresses) == 2
    for address in addresses:
        assert make_url(address).get_dialect().import_dbapi().__name__ == "psycopg2"


def test_image_compose_and_helm_are_the_airflow_of_the_lock() -> None:
    version = re.search(
        r"^apache-airflow==(\S+)",
        (PROJECT / "requirements-container.txt").read_text(),
        re.MULTILINE,
    )
    assert version
    bases = re.findall(
        r"^FROM apache/airflow:(\S+?)-python3\.11",
        (PROJECT / "Dockerfile").read_text(),
        re.MULTILINE,
    )
    assert bases == [version[1]] * 2
    assert HELM["airflowVersion"] == version[1]


def test_the_image_runs_the_versions_that_are_tested_outside_of_it() -> None:
    def versions(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==\S+", (PROJECT / name).read_text(), re.MULTILINE))

    assert versions("requirements.txt") <= versions("requirements-container.txt")


@pytest.mark.parametrize("lock", ["requirements", "requirements-container", "requirements-dev"])
def test_no_bound_of_others_holds_the_trusted_roots_back(lock: str) -> None:
    text = (PROJECT / f"{lock}.txt").read_text()
    (year,) = re.findall(r"^certifi==(\d+)\.", text, re.MULTILINE)
    assert int(year) >= 2026
