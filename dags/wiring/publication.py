"""Publishes the marts of a day, and asks a person first where the day is doubtful.

An ordinary day costs no task more: the one that publishes is Airflow's human-in-the-loop operator,
and waits for an answer (Required Actions) only when there is a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator

from pipeline.days import day_of
from wiring.datasets import MARTS

PUBLISH, HOLD = "Publish", "Do not publish"


class PublishMarts(HITLOperator):
    """Makes the tested marts visible, all at once; the event carries the six loads behind them.

    Raises:
        HeldDayError: the answer, or the time-out, was not to publish.
    """

    template_fields: Sequence[str] = (*HITLOperator.template_fields, "loads")

    def __init__(self, *, loads: Any, **arguments: Any) -> None:
        super().__init__(
            subject="Publish the marts of this day?",
            options=[PUBLISH, HOLD],
            outlets=[MARTS],
            # told apart from the time that the task itself may take, which is its kind's
            response_timeout=timedelta(hours=4),
            **arguments,
        )
        self.loads = loads

    def execute(self, context: Any) -> dict[str, Any]:
        from alerting.held import ask_about, doubts_before_publication

        day = day_of(context["dag_run"])
        if not (doubts := doubts_before_publication(day, self.loads)):
            return self._publish(context)
        question = ask_about(context, day, doubts)
        self.subject, self.body = question.subject, question.body
        self.response_timeout = question.wait
        self.defaults = [PUBLISH if question.publish_after_wait else HOLD]
        super().execute(context)  # ends this process; the answer goes on below
        raise AssertionError("Airflow did not wait for an answer.")

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        from pipeline.gate import HeldDayError

        answer = super().execute_complete(context, event)
        who = (answer["responded_by_user"] or {}).get("name") or "nobody in time"
        if PUBLISH in answer["chosen_options"]:
            self.log.info("To be published, answered %s.", who)
            return self._publish(context)
        raise HeldDayError(
            f"{day_of(context['dag_run'])} is not published: that was the answer ({who}). What was "
            "published before stays. Load what was wrong again, and its marts are built again; to "
            "publish them as they are, clear publish_marts and answer Publish."
        )

    def _publish(self, context: Any) -> dict[str, Any]:
        import transform

        run = context["dag_run"]
        day = day_of(run)
        publication = transform.publish_marts(day).as_dict()
        transform.refresh_docs()
        event = context["outlet_events"][MARTS]
        event.extra = {"loads": self.loads, "publication": publication}
        if not run.partition_key:
            event.add_partitions(day.isoformat())
        return publication
