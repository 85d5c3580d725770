"""Evaluations that draw: filters, nearest neighbours, t-SNE, the views of training.

`drawing` lays out images with labels. Each other module is one evaluation, whose images become
figures of the report. May import `evaluate` and `data`.
"""
