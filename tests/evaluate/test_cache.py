"""An interrupted evaluation continues, with the results of one that was not interrupted."""

import jax
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.evaluate import cache, reference_representations, suite

EVALS = {
    "knn": {"name": "knn", "protocol": "knn-v1", "taps": ("conv", "y")},
    "few": {"name": "knn", "labels_per_class": 5, "subsets": 2},
    "uniformity": {"name": "uniformity"},
    "neighbours": {"name": "neighbours", "representations": ("trained", "untrained")},
}
COUNT = 4 + 4 + 2  # of evaluations on the three representations


@pytest.fixture(scope="module")
def representations(encoder):
    return {"trained": encoder, "untrained": encoder, "pixels": reference_representations.pixels()}


@pytest.fixture(scope="module")
def whole(representations, digits):
    return run(representations, digits, None)[:2]


def run(representations, digits, folder, evals=EVALS, seed=0, after=None):
    """(rows, figures, lines), ending after so many evaluations if asked to."""
    made, lines = [], []

    def between():
        made.append(1)
        if len(made) == after:
            raise KeyboardInterrupt

    store, rng = cache.Store(folder), jax.random.key(seed)
    found = suite.run(evals, representations, digits, rng, lines.append, store, between)
    return *found, lines


def same(one, other) -> None:
    assert one[0] == other[0]
    for left, right in zip(one[1], other[1], strict=True):
        assert left[:3] == right[:3]
        np.testing.assert_array_equal(left.image, right.image)


def kept(lines) -> int:
    return sum("kept from before" in line for line in lines)


def test_an_interrupted_evaluation_continues(representations, digits, whole, tmp_path):
    total = 0
    for after in (1, 4):
        with pytest.raises(KeyboardInterrupt):
            run(representations, digits, tmp_path, after=after)
        total += after
        assert len(list(tmp_path.glob("*.json"))) == total
    *found, lines = run(representations, digits, tmp_path)
    same(found, whole)
    assert kept(lines) == total and len(lines) == COUNT


def test_what_changed_is_made_again(representations, digits, tmp_path):
    run(representations, digits, tmp_path)
    other = {**EVALS, "few": {**EVALS["few"], "subsets": 3}}
    assert kept(run(representations, digits, tmp_path, other)[2]) == COUNT - 3
    encoder = representations["trained"]
    params = jax.tree.map(lambda leaf: leaf + 1, encoder.params)
    moved = {**representations, "trained": encoder._replace(params=params)}
    assert kept(run(moved, digits, tmp_path, other)[2]) == COUNT - 4
    # That of pixels with all labels draws nothing that results of other seeds would not have.
    assert kept(run(moved, digits, tmp_path, other, seed=1)[2]) == 1


def test_of_other_data_all_is_made_again(representations, digits, tmp_path):
    pixels = {"pixels": representations["pixels"]}
    evals = {"knn": {"name": "knn"}}
    run(pixels, digits, tmp_path, evals)
    assert kept(run(pixels, digits, tmp_path, evals)[2]) == 1
    renamed = digits._replace(facts=digits.facts._replace(name="others"))
    train = digits.splits["train"]
    fewer = {
        **digits.splits,
        "train": train._replace(images=train.images[1:], labels=train.labels[1:]),
    }
    for other in (renamed, digits._replace(splits=fewer)):
        assert kept(run(pixels, other, tmp_path, evals)[2]) == 0


def test_of_another_training_all_is_made_again(tmp_path):
    """Also of pixels, which have no weights."""
    cache.Store(tmp_path, "one").keep("knn-pixels", {}, cache.Finished([], [], 1.0))
    assert cache.Store(tmp_path, "one").find("knn-pixels", {})
    assert cache.Store(tmp_path, "another").find("knn-pixels", {}) is None


@pytest.mark.parametrize("damage", ["json", "figure"])
def test_a_damaged_one_is_made_again(representations, digits, whole, tmp_path, damage):
    run(representations, digits, tmp_path)
    pattern = "knn-trained.json" if damage == "json" else "neighbours-trained-*.png"
    (path,) = tmp_path.glob(pattern)
    path.write_bytes(path.read_bytes()[:20])
    *found, lines = run(representations, digits, tmp_path)
    same(found, whole)
    assert kept(lines) == len(lines) - 1


def test_a_run_folder_that_is_gone_is_not_made_again(tmp_path):
    store = cache.Store(tmp_path / "run" / "evaluations")
    with pytest.raises(contracts.UserError, match=r"knn-trained could not be written .* No such"):
        store.keep("knn-trained", {}, cache.Finished([], [], 0.0))
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.writing.os, "fsync", full)
    store = cache.Store(tmp_path / "evaluations")
    with pytest.raises(
        contracts.UserError, match="the evaluation knn-trained could not be written"
    ):
        store.keep("knn-trained", {}, cache.Finished([], [], 0.0))
