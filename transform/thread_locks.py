"""Gives dbt locks between threads: those between processes outlive a task and are shared with all
the others.

dbt makes its locks in a ``multiprocessing`` context, yet starts no process, only threads. Such a
lock is a named semaphore, a file in shared memory that is removed when the process ends in good
order. Airflow ends its task processes with ``os._exit``, so each left some behind. And the lock of
a manifest that was parsed before the fork would be one lock in all task processes: a process killed
while it holds the lock would stop every later one.
"""

from __future__ import annotations

import threading
from typing import Any


class _Threads:
    """The part of a ``multiprocessing`` context that dbt uses."""

    Lock = staticmethod(threading.Lock)
    RLock = staticmethod(threading.RLock)


def use_thread_locks() -> None:
    """To be called before dbt is imported: its manifest takes the context's lock at import."""
    import dbt.mp_context

    context: Any = _Threads()
    dbt.mp_context._MP_CONTEXT = context
