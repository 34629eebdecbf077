"""The pool of one slot in which sources announce their days: its name, what can be wrong."""

from __future__ import annotations

PUBLISH_POOL = "publish"
POOL_DESCRIPTION = (
    "One slot: Dataset events are announced one after the other, so that no day is lost."
)
SET_POOL = f"airflow pools set {PUBLISH_POOL} 1 '{POOL_DESCRIPTION}'"


def complaint_about(slots: int | None) -> str:
    """What is wrong with the pool and the command that mends it; empty if it is as it must be.

    Args:
        slots: None where there is no such pool; Airflow means any number by -1.
    """
    if slots == 1:
        return ""
    if not slots:
        lack = "Airflow has no pool" if slots is None else "No slot is in Airflow's pool"
        return (
            f"{lack} {PUBLISH_POOL!r}: no source could announce its day, and dbt would never run. "
            f"Run: {SET_POOL}"
        )
    return (
        f"Airflow's pool {PUBLISH_POOL!r} has {slots} slots instead of 1: sources that announce a "
        "day in the same instant "
        f"would lose it, and dbt would not run for it. Run: {SET_POOL}"
    )
