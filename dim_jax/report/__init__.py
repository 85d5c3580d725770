"""Metric writers, console output and the report page of a run.

Reads and writes files of run folders. May import `rundir` and `settings`; no methods, networks or
data.
"""

from dim_jax.report.collapse import Watch
from dim_jax.report.console import Console
from dim_jax.report.page import write_html
from dim_jax.report.results import read_results
from dim_jax.report.trackers import TrackerWriter, check_tracker
from dim_jax.report.writers import JsonlWriter, TensorBoardWriter, damaged_lines, read_rows

__all__ = [
    "Console",
    "JsonlWriter",
    "TensorBoardWriter",
    "TrackerWriter",
    "Watch",
    "check_tracker",
    "damaged_lines",
    "read_results",
    "read_rows",
    "write_html",
]
