"""`python -m sandbox.containers COMMAND`: what the containers run, and `env` for the host."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

CONFIG, PASSWORDS = Path("/opt/airflow/config"), Path("/opt/airflow/passwords")
PROJECT = Path(__file__).resolve().parent.parent.parent
ASIDE, OPEN = Path("/tmp/aside"), Path("/tmp/open")  # noqa: S108  inside a container, for its health check


def say(sentence: str) -> None:
    print(sentence, flush=True)


def step_aside(service: str, why: str) -> None:
    """Do nothing for as long as the container lives, and count as healthy."""
    say(f"{why}: {service} steps aside.")
    ASIDE.touch()
    OPEN.touch()
    os.execvp("sleep", ["sleep", "infinity"])  # noqa: S606


def env(options: argparse.Namespace) -> None:
    from sandbox.containers.env_file import add_secrets

    added = add_secrets(options.file)
    say(
        f"Generated into {options.file.name}: {', '.join(added)}."
        if added
        else f"{options.file.name} has every secret already."
    )


def configure(options: argparse.Namespace) -> None:
    from pipeline.settings import settings
    from sandbox.containers import configuration
    from sandbox.containers.settings import ContainerSettings, RealSystems

    configuration.configure(
        CONFIG, PASSWORDS, settings(ContainerSettings), settings(RealSystems), options.executor
    )
    say(
        f"Configured for the {options.executor}. The password of admin is in "
        f"{CONFIG}/passwords.json of airflow-api-server."
    )


def init(_: argparse.Namespace) -> None:
    from sandbox.containers.setup import check_mounts, prepare_airflow

    check_mounts(PROJECT)
    prepare_airflow()


def shop(_: argparse.Namespace) -> None:
    from pipeline.settings import settings
    from sandbox.containers import shop
    from sandbox.containers.settings import ContainerSettings, RealSystems

    # The environment only: the file that `configure` wrote names the stand-ins.
    if not shop.embedded(RealSystems(_env_file=None)):
        step_aside("The demo shop", ".env names a real source")
    shop.keep_open(settings(ContainerSettings).demo_scale, OPEN.touch, say)


def stripe_emulator(options: argparse.Namespace) -> None:
    if os.environ.get("STRIPE_API_KEY"):
        step_aside("The Stripe emulator", "STRIPE_API_KEY is set")
    _serve("sandbox.stripe_emulator", options)


def slack_inbox(options: argparse.Namespace) -> None:
    if os.environ.get("SLACK_WEBHOOK_URL"):
        step_aside("The Slack inbox", "SLACK_WEBHOOK_URL is set")
    _serve("sandbox.slack_inbox", options)


def _serve(module: str, options: argparse.Namespace) -> None:
    """In the container's own network, other containers have to reach it."""
    arguments = ["--host", "0.0.0.0", "--port", options.port, "--store", options.store]  # noqa: S104
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.containers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, text in (
        ("env", env, "generate the secrets that .env does not set (on the host)"),
        ("configure", configure, "write the files the containers start with"),
        ("init", init, "migrate Airflow's metadata database, create the pool"),
        ("shop", shop, "open the demo shop and let it live on"),
        ("stripe-emulator", stripe_emulator, "serve the Stripe emulator, unless Stripe is real"),
        ("slack-inbox", slack_inbox, "serve the Slack inbox, unless Slack is real"),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        if name == "env":
            command.add_argument("--file", type=Path, default=PROJECT / ".env")
        if name == "configure":
            command.add_argument(
                "--executor", choices=("LocalExecutor", "CeleryExecutor"), default="LocalExecutor"
            )
        if name in ("stripe-emulator", "slack-inbox"):
            command.add_argument("--port", required=True)
            command.add_argument("--store", required=True)
    options = parser.parse_args(arguments)
    if options.command == "env":
        env(options)
        return 0

    from pipeline.errors import PipelineError
    from sandbox.processes import SandboxError

    try:
        options.run(options)
    except (PipelineError, SandboxError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
