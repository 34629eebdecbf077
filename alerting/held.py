"""A doubtful day waits for a person: the question, and the alert that asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from alerting.settings import AlertingSettings
from pipeline.settings import settings


@dataclass(frozen=True)
class Question:
    """What a person is asked under Required Actions; ``wait`` is how long for."""

    subject: str
    body: str
    wait: timedelta
    publish_after_wait: bool


def doubts_before_publication(day: date, loads: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is doubtful about a day that is to be published for the first time.

    A correction is not asked about: somebody looked at the day already. What cannot be looked up
    holds nothing back.
    """
    import logging

    from alerting.doubt import doubts_about
    from pipeline.masking import mask
    from transform import read_publication

    try:
        publication = read_publication()
        if publication is None or publication.day >= day:
            return []
        return doubts_about(day, loads)
    except Exception as error:
        logging.getLogger("airflow.task").warning(
            "Whether %s is a usual day cannot be said: %s", day, mask(str(error))
        )
        return []


def ask_about(context: Mapping[str, Any], day: date, doubts: Sequence[str]) -> Question:
    """Tell the channels that the day is held, and return the question."""
    from alerting.context import alert_of
    from alerting.runbook import link
    from alerting.slack import deliver

    chosen = settings(AlertingSettings)
    wait = timedelta(hours=chosen.doubtful_day_hours)
    publish = chosen.doubtful_day == "publish"
    then = "published as they are" if publish else "not published, and the run fails"
    if_nobody = f"after {chosen.doubtful_day_hours:g} h the marts are {then}"
    alert = alert_of(context, "held")
    answer = f"{(alert.log_url or '').partition('?')[0]}/required_actions"
    figures = "\n".join(f"• {doubt}" for doubt in doubts)
    deliver(
        replace(
            alert,
            seconds=None,
            log_url=answer,
            facts=(
                ("Far from usual", figures),
                ("Readers", "see the marts that were published before"),
                ("Answer", "Publish or Do not publish, under Required Actions or on the page"),
                ("If nobody answers", if_nobody),
            ),
            runbook=link("HeldDayError", chosen.runbook()),
        )
    )
    body = f"{figures}\n\nAll tests have passed. If nobody answers, {if_nobody}."
    return Question(f"Publish {day}?", body, wait, publish)
