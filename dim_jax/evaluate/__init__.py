"""All measures by which a representation is judged, on frozen features of the test images.

`suite` runs the evaluations of a config on several representations; `features` encodes a split
once; `fit` is the small training loop; `cache` keeps finished evaluations; the evaluations are in
`probes`, `measures` and `figures`. Names no method. May import `data`, `nets`, `losses`, `bounds`,
`rundir` and `training.optimizers`.
"""
