"""Evaluations that predict labels or attributes: classifiers on frozen features, and fine-tuning.

`labelled` holds the task that they share, `networks` the fit of small networks, `svm_solver` the
solver of linear SVMs. Each other module is one evaluation. May import `evaluate`, `data`, `nets`,
`losses` and `training.optimizers`.
"""
