"""Training of any method: the loop, the compiled train step, the input pipeline and the optimizers.

`trainer` dispatches, logs with a delay, saves and stops; `continuation` makes a training longer, or
starts it from another run; `train_step` updates all players at once; `reach` says which taps they
train; `input_pipeline` delivers resident or streamed batches; `microbatching` divides a batch.
Depends on no specific method or evaluation. May import `data`, `augment`, `nets`, `processes`,
`profiling`, `rundir` and `settings`.
"""
