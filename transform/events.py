"""Leaves out dbt's debug events where nobody reads them: they are several for each statement, and
each is made into a message.
"""

from __future__ import annotations

from typing import Any


def event_manager(level: str) -> Any:
    """Where dbt's events go: all of them if the most detailed log wants ``level`` "debug", else
    those above.
    """
    from dbt_common.events.base_types import BaseEvent, EventLevel
    from dbt_common.events.event_manager import EventManager

    class WithoutDebug(EventManager):
        def fire_event(
            self,
            e: BaseEvent,
            level: EventLevel | None = None,
            node: Any = None,
            force_warn_or_error_handling: bool = False,
        ) -> None:
            if force_warn_or_error_handling or (level or e.level_tag()) != EventLevel.DEBUG:
                super().fire_event(e, level, node, force_warn_or_error_handling)

    return EventManager() if level == "debug" else WithoutDebug()
