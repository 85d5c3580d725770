"""Evaluations that draw: filters, nearest neighbours, samples, scores, t-SNE, training views.

`drawing` lays out images with labels. Each other module is one evaluation, whose images become
figures of the report. May import `evaluate` and `data`.
"""
