"""Runs side by side: the settings in which they differ, their results and their curves.

`compare.runs(paths)` returns a `compare.Comparison`; `python -m dim_jax.compare RUN RUN` prints one
and writes a page. Reads the files of run folders alone, without JAX. May import `processes`,
`report`, `rundir` and `settings`.
"""

from dim_jax.compare.comparison import Comparison as Comparison
from dim_jax.compare.comparison import runs as runs
from dim_jax.compare.measures import Cell as Cell
from dim_jax.compare.measures import Line as Line
from dim_jax.compare.run_files import Run as Run
