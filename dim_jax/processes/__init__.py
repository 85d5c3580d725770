"""Processes of a run: coordination, supervision, XLA flags, compilation cache and memory usage.

All coordination between processes goes through `distributed`; `supervisor` watches one process;
`xla_flags` and `compilation_cache` act before JAX starts; `memory_usage` reads peaks. May import
only `contracts` of the package, so that the command line starts fast.
"""
