"""Any encoder under the evaluations of this package, and the command that judges one.

    python -m dim_jax.evaluate --encoder my_model:encode --data cifar10 --evals linear,knn,svm

An encoder is a function of images (`functions`), an exported encoder, or a file of its features
(`feature_arrays`, divided into training and test by `file_splits`). `sources` tells which, `stored`
makes a representation of the features, `chosen` refuses evaluations that need more than features,
`judgement` runs the others beside their controls, and `command` reads the arguments.
"""
