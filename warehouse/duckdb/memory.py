"""Makes freed memory go back to the system, so that what staging has used is DuckDB's to use: loads
share small machines.
"""

from __future__ import annotations

import ctypes
from functools import cache

# Of glibc's malloc.h. Threads of ours hand batches to one another; with an arena for each, freed
# memory stays in all of them.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


@cache
def return_freed_memory() -> None:
    """For this process, from now on: malloc keeps little, if it is glibc's. Arrow has an allocator
    of its own, which does.

    Smaller thresholds than these cost more in asking the system for pages again and again than they
    save.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_TRIM_THRESHOLD, 16 * 2**20)
        mallopt(_M_MMAP_THRESHOLD, 4 * 2**20)
