"""The only trainer: the loop, the compiled train step, the input pipeline and the optimizers.

`trainer` dispatches, logs late, saves and stops; `train_step` updates all players at once;
`input_pipeline` delivers resident or streamed batches; `microbatching` divides a batch. Names no
method and no evaluation. May import `data`, `augment`, `nets`, `processes` and `rundir`.
"""
