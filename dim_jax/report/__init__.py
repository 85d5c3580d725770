"""Writers of a run's metrics, its console, and its report page.

Reads and writes files of run folders. May import `contracts` and nothing else of the package: no
methods, networks or data.
"""

from dim_jax.report.console import Console
from dim_jax.report.page import write_html
from dim_jax.report.writers import JsonlWriter, TensorBoardWriter, read_rows

__all__ = ["Console", "JsonlWriter", "TensorBoardWriter", "read_rows", "write_html"]
