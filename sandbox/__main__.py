"""`python -m sandbox demo | stop | status`: the local stand-ins and the demo, from a shell."""

from __future__ import annotations

import argparse
import os
import sys

from alerting.store import silence
from pipeline.errors import PipelineError
from pipeline.pool import PUBLISH_POOL, complaint_about
from pipeline.settings import settings
from sandbox.layout import Layout
from sandbox.postgres import EmbeddedPostgresError
from sandbox.processes import SandboxError
from sandbox.screen import Screen
from sandbox.stack import Stack

INTERRUPTED = 130


def status(stack: Stack) -> int:
    """Print what runs; 0 if all is well, 3 if nothing runs, 1 if something is wrong."""
    running = stack.running()
    if not running and not stack.postgres.pid:
        print("Nothing runs. `make demo` starts everything.")
        return 3
    for name, pid in running.items():
        print(f"{name:24} runs, pid {pid}")
    if stack.postgres.pid:
        print(f"{'postgres':24} runs on 127.0.0.1:{stack.postgres.port}")
    api, address = stack.api, stack.airflow_address
    healthy = api.healthy()
    complaint = complaint_about(api.pool_slots(PUBLISH_POOL)) if healthy else ""
    condition = "healthy" if healthy else "NOT healthy"
    print(f"Airflow is {condition}: {address.url}, sign in as {address.user} / {address.password}")
    if complaint:
        print(f"{complaint} (`make demo` does it, too.)")
    for sentence in (missed := _not_told(stack)):
        print(sentence)
    print(f"Pipeline: {address.url}/plugin/pipeline\nSlack inbox: {stack.slack_url}")
    if "dashboard" in running:
        print(f"Business view: {stack.dashboard_url}")
    print(f"Logs: {stack.layout.logs}")
    return 0 if healthy and not (complaint or missed) else 1


def _not_told(stack: Stack) -> list[str]:
    """Which of the pipeline's alerts reached nobody."""
    if not stack.layout.env_file.exists():  # it has not come up yet
        return []
    os.environ["ECOMMERCE_ENV_FILE"] = str(stack.layout.env_file)
    settings.cache_clear()
    return silence()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("demo", help="set everything up and run the current day")
    size = "size of the shop; 1 is 100,000 orders (default 0.1)"
    run.add_argument("--scale", type=float, default=0.1, help=size)
    commands.add_parser("stop", help="end everything that runs")
    commands.add_parser("status", help="say what runs")
    options = parser.parse_args(arguments)

    screen, stack = Screen(), Stack(Layout())
    if options.command == "status":
        return status(stack)
    try:
        if options.command == "stop":
            if not stack.stop(screen.say):
                print("Nothing was running.")
            print(f"The data stays in {stack.layout.root}; `make clean` removes it.")
            return 0

        from sandbox.demo import demo

        demo(options.scale, screen)
    except KeyboardInterrupt:
        print("\nInterrupted; stopping everything.")
        stack.stop(screen.say)
        return INTERRUPTED
    except (SandboxError, EmbeddedPostgresError, PipelineError) as error:
        print(f"\n{error}\n\nWhat has started keeps running: make status, make stop.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
