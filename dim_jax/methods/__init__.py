"""Methods: one file each, whose `make(...)` returns a `contracts.Method` of pure functions.

The name of a file is the name in a config; scientific hyperparameters have no defaults here. May
import `nets`, `bounds`, `losses` and `augment`, but no data, trainer, report, optimizer or mesh.
"""
