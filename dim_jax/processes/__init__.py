"""The processes of a run: how they meet and agree, how a lost one is explained, how XLA is set up.

`distributed` is the one way in which processes agree; `supervisor` watches over one process;
`xla_flags` and `compilation_cache` act before JAX starts; `memory_usage` reads peaks. May import
`contracts` and nothing else of the package, so that the command line starts fast.
"""
