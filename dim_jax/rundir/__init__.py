"""The run folder: its paths and its config, the lock, checkpoints, exported encoders, safe writes.

`workdir` names the files and compares configs; `checkpoint` is the only module that knows orbax;
`writing` replaces files atomically and explains a full disk. Every file of a run is written by way
of this room. May import `contracts`, `settings` and `processes`.
"""
