"""Evaluations of a representation, on frozen features of the test images.

`suite` runs the evaluations of a config on several representations, `plan` says which on which,
`other_data` on which other data sets, and `results` makes rows and figures of what they return.
`evaluation` is the type of an evaluation, `discovery` finds one by its name in `probes`, `measures`
and `figures`. `protocols` names settings; `features` encodes a split once; `judges` are networks
that compare generated images; `fit` is a small training loop; `cache` stores finished evaluations,
`results_files` writes them; `encoders` has the command that evaluates any encoder. Names no method.
May import `data`, `encoder`, `nets`,
`losses`, `bounds`, `processes`, `report`, `rundir`, `settings` and `training.optimizers`.
"""
