"""`python -m sandbox demo | up | stop | status`: the local stand-ins and the demo, from a shell."""

from __future__ import annotations

import argparse
import sys

from pipeline.errors import PipelineError
from pipeline.pool import complaint_about
from sandbox.layout import Layout
from sandbox.postgres import EmbeddedPostgresError
from sandbox.processes import SandboxError
from sandbox.screen import Screen
from sandbox.stack import SOURCE_DATABASE, Stack

INTERRUPTED = 130


def status(stack: Stack, screen: Screen) -> int:
    """Print what runs and whether Airflow is healthy; 0 if all is well, 3 if nothing runs, 1 if
    something is wrong.
    """
    running = stack.running()
    if not running and not stack.postgres.pid:
        screen.console.print("Nothing runs. `make demo` starts everything.")
        return 3
    for name, pid in running.items():
        screen.console.print(f"{name:24} runs, pid {pid}")
    if stack.postgres.pid:
        source = stack.postgres.settings(SOURCE_DATABASE)
        screen.console.print(f"{'postgres':24} runs on 127.0.0.1:{source['port']}")
    healthy = stack.api.healthy()
    complaint = complaint_about(stack.pool_slots()) if stack.postgres.pid and healthy else ""
    address = stack.airflow_address
    condition = "healthy" if healthy else "NOT healthy"
    screen.console.print(
        f"Airflow is {condition}: {address.url}, sign in as {address.user} / {address.password}"
    )
    if complaint:
        screen.console.print(f"{complaint} (`make demo` does it, too.)", style="red", markup=False)
    screen.console.print(f"Pipeline: {address.url}/plugin/pipeline")
    screen.console.print(f"Slack inbox: {stack.slack_url}")
    if "dashboard" in running:
        screen.console.print(f"Business view: {stack.dashboard_url}")
    screen.console.print(f"Logs: {stack.layout.logs}")
    return 0 if healthy and not complaint else 1


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("demo", help="set everything up and run the current day")
    run.add_argument(
        "--scale",
        type=float,
        default=0.1,
        help="size of the shop; 1 is 100,000 orders (default 0.1)",
    )
    commands.add_parser("stop", help="end everything that runs")
    commands.add_parser("status", help="say what runs")
    options = parser.parse_args(arguments)

    screen = Screen()
    stack = Stack(Layout())
    if options.command == "status":
        return status(stack, screen)
    if options.command == "stop":
        if not stack.stop(screen.say):
            screen.console.print("Nothing was running.")
        screen.console.print(f"The data stays in {stack.layout.root}; `make clean` removes it.")
        return 0

    from sandbox.demo import demo

    try:
        demo(options.scale, screen)
    except KeyboardInterrupt:
        screen.console.print("\nInterrupted; stopping everything.")
        stack.stop(screen.say)
        return INTERRUPTED
    except (SandboxError, EmbeddedPostgresError, PipelineError) as error:
        screen.console.print(f"\n{error}", style="red", markup=False)
        screen.console.print(
            "\nWhat has started keeps running, so that you can look: make status, make stop."
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
