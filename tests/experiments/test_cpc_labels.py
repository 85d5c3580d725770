"""Training on few labels: it learns, keeps the best network, and reads claims off the curves."""

import json

import numpy as np
import pytest

from experiments import cpc_labels, cpc_labels_page, labelled_training
from experiments.labelled_training import Images


def images_of(count: int, seed: int) -> Images:
    """Noise whose class is whether the red channel is the brighter one."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count).astype(np.int32)
    images = random.integers(0, 200, (count, 28, 28, 3))
    images[np.arange(count), ..., 2 * labels] += 50
    return Images(images.astype(np.uint8), labels)


@pytest.fixture(scope="module")
def trained():
    spec = dict(name="dcgan28", width=2, hidden=8, features=4)
    net = labelled_training.network(json.dumps(spec), 2)
    train, validation, test = images_of(64, 0), images_of(100, 1), images_of(300, 2)
    members = np.flatnonzero(np.arange(64) % 2).astype(np.int32)
    labels = np.where(
        np.arange(64) % 2, train.labels, 1 - train.labels
    )  # those not given are wrong
    wrong = Images(train.images, labels.astype(np.int32))
    return labelled_training.train(net, None, wrong, members, validation, test, steps=125, seed=0)


def test_it_learns_from_the_labels_that_it_is_given(trained):
    assert trained["test"] > 0.9 and trained["fitted"] > 0.9


def test_the_network_with_the_best_validation_is_kept(trained):
    assert len(trained["checks"]) == 5
    assert trained["validation"] == max(trained["checks"])
    last = max(i for i, value in enumerate(trained["checks"]) if value == trained["validation"])
    assert trained["step"] == 25 * (last + 1)


def test_every_labelled_image_is_picked_as_often():
    picked = labelled_training._picked(np.array([3, 5, 9]), np.random.default_rng(0))
    assert picked.shape == (25, 32)
    values, counts = np.unique(picked, return_counts=True)
    assert [*values] == [3, 5, 9] and np.ptp(counts) <= 1


def content(linear: float, supervised: float) -> dict:
    """Two seeds of two kinds at 1 % of the labels."""
    curves = [
        dict(kind=kind, labels=100, seeds=[0, 1], values=[dict(test=value), dict(test=value + 0.1)])
        for kind, value in (("linear", linear), ("supervised", supervised))
    ]
    return dict(images=10_000, curves=curves)


def test_claims_are_differences_of_the_same_seeds():
    (claim,) = cpc_labels_page.claims(content(0.4, 0.3))
    assert claim["claim"] == "linear on fc above supervised, 1 % of the labels"
    assert (claim["difference"], claim["verdict"]) == ("+10.0, +10.0", "hit")
    assert cpc_labels_page.claims(content(0.3, 0.4))[0]["verdict"] == "miss"
    mixed = content(0.35, 0.3)
    mixed["curves"][1]["values"][0]["test"] = 0.5
    (claim,) = cpc_labels_page.claims(mixed)
    assert (claim["difference"], claim["verdict"]) == ("-15.0, +5.0", "undecided")
    text = cpc_labels_page.text(mixed)
    assert "| CPC v2, linear on fc | 40.0 ± 7.1 |" in text


def test_the_picture_is_drawn(tmp_path):
    cpc_labels_page.draw(content(0.3, 0.4), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5_000


def test_budgets_fit_together():
    for sizes in cpc_labels.BUDGETS.values():
        assert len(sizes.labels) == len(sizes.steps)
        assert {*sizes.tuned} <= {*sizes.labels}
        assert all(steps % 25 == 0 for steps in sizes.steps)
