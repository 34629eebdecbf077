"""Imported by Airflow's forkserver: tasks give way to the scheduler and the API server, which others are waiting for.

Six loads keep two cores busy. The scheduler needs little, but each of its turns decides when the next task starts.
"""

from __future__ import annotations

import os

os.nice(5)
