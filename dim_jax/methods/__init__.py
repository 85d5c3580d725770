"""Methods: one file each, whose `make(...)` returns a `contracts.Method` of pure functions.

The name of a file is the name in a config; no numbers of science have defaults here. May import
`nets`, `bounds`, `losses` and `augment`; no data, trainer, report, optimizer or mesh.
"""
