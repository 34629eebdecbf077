"""The type of the fixture that builds Airflow contexts for alerts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ContextOf = Callable[..., dict[str, Any]]
