"""Processes of a run: coordination, supervision, XLA flags, compilation cache and memory usage.

All coordination between processes goes through `distributed`; `supervisor` watches one process;
`xla_flags` and `compilation_cache` act before JAX starts; `backend` starts its devices and explains
used-up memory; `memory_usage` reads peaks; `standard_streams` and `stop_signals` keep a run going,
or saved, when its terminal is gone. May import only `contracts` of the package, so that the command
line starts fast.
"""
