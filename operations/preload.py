"""Imported by Airflow's forkserver, from which every task process is forked:

    [scheduler] mp_start_method = forkserver
    [scheduler] mp_forkserver_preload = operations.preload

Tasks also give way to the scheduler and the API server here. Six loads keep two cores busy; the
scheduler needs little, but each of its turns decides when the next task starts.
"""

from __future__ import annotations

import os
from importlib import import_module

from operations.preloaded import PRELOADED

os.nice(5)
for _name in PRELOADED:
    import_module(_name)
