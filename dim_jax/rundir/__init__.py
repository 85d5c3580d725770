"""The run folder: paths, config, lock, checkpoints, exported encoders and atomic writes.

`workdir` names the files, `provenance` tells of which training and step they are; `checkpoint` is
the only module that uses orbax; `writing` replaces files atomically and explains failed writes. May
import `contracts`, `settings` and `processes`.
"""
