"""The run folder: paths, config, lock, checkpoints, exported encoders and atomic writes.

`workdir` names the files and compares configs; `checkpoint` is the only module that uses orbax;
`writing` replaces files atomically and explains a full disk. May import `contracts`, `settings` and
`processes`.
"""
