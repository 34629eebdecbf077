"""Says that a source and what was loaded of it differ, and how to repair that. Nothing has failed:
it is a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

logger = logging.getLogger(__name__)


def report_differences(context: Mapping[str, Any], source: str, found: str, repair: str) -> bool:
    """Send one alert per run and source; whether a channel took it from here. Never raises.

    Args:
        context: of the task that compared.
        found: what differs, for a person.
        repair: what repairs it, as a sentence.
    """
    try:
        from alerting.context import alert_of
        from alerting.runbook import link
        from alerting.settings import AlertingSettings
        from alerting.slack import deliver
        from pipeline.masking import mask
        from pipeline.settings import settings as configured

        alert = alert_of(context, "difference")
        facts = (("Source", source), ("Found", mask(found)), ("To repair it", repair))
        runbook = link("SourceDiffers", configured(AlertingSettings).runbook())
        # One per run, whatever the number of tries.
        return deliver(
            replace(
                alert,
                key=f"{alert.run}|{source}|difference",
                facts=facts,
                seconds=None,
                runbook=runbook,
            )
        )
    except Exception as error:
        logger.error(
            "The alert about differences of %s could not be made: %s", source, type(error).__name__
        )
        return False
