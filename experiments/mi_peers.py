"""Estimators of mutual information of other packages, to compare with."""

import numpy as np
from sklearn import feature_selection

NEIGHBOURS = 10  # as in the numbers of peers in truth.json


def scikit_learn(x: np.ndarray, y: np.ndarray) -> float:
    """Nats of one column each, by scikit-learn's nearest neighbours."""
    values = feature_selection.mutual_info_regression(
        x, y[:, 0], n_neighbors=NEIGHBOURS, random_state=0
    )
    return float(values[0])
