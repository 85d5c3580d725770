"""Evaluations without labels: information, dependence, reconstruction, retrieval, marginals.

`critic_fit` holds the fit that critics share, `ssim` the similarity of images. Each other module
is one evaluation. May import all of `evaluate`, `bounds`, `data`, `nets` and `losses`.
"""
