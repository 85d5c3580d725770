"""Results of controls that runs share are those of a run that computes them."""

import jax
import numpy as np
import pytest

from dim_jax.data import dataset
from dim_jax.evaluate import reference_representations, shared_results, suite
from dim_jax.evaluate.probes import knn
from dim_jax.processes import user_cache

EVALS = {
    "knn": {"name": "knn", "taps": ("y",)},
    "few": {"name": "knn", "labels_per_class": 5, "subsets": 2, "taps": ("y",)},
    "filters": {"name": "filters", "representations": ("untrained",)},
}


@pytest.fixture(scope="module")
def representations(encoder, digits):
    images = digits.splits["train"].images
    return {
        "trained": encoder,
        "untrained": encoder,
        "pca": reference_representations.pca(images, 4),
    }


@pytest.fixture(scope="module")
def kept(representations, digits, tmp_path_factory):
    """A folder after one run, and the results of that."""
    folder = tmp_path_factory.mktemp("cache") / "dim_jax" / "controls"
    return folder, run(representations, digits, folder)


def run(representations, digits, folder, evals=EVALS, seed=0, described=None):
    """(rows, figures, the evaluations that were reused)."""
    shared = shared_results.Results(folder, described)
    lines = []
    found = suite.run(
        evals, representations, digits, jax.random.key(seed), lines.append, shared=shared
    )
    assert sum("of an earlier run" in line for line in lines) == len(shared.reused)
    return *found, [line.partition(" (")[0] for line in shared.reused]


ALL = ["knn of untrained", "few of untrained", "filters of untrained", "knn of pca", "few of pca"]


def test_reused_results_are_those_that_were_computed(representations, digits, kept):
    folder, (rows, figures, reused) = kept
    assert reused == []
    again, pictures, reused = run(representations, digits, folder)
    assert reused == ALL
    assert again == rows
    for left, right in zip(figures, pictures, strict=True):
        assert left[:3] == right[:3]
        np.testing.assert_array_equal(left.image, right.image)


def test_another_seed_shares_what_no_drawn_labels_depend_on(representations, digits, kept):
    *_, reused = run(representations, digits, kept[0], seed=1)
    assert reused == ["knn of pca"]


def test_of_anything_else_it_is_computed(representations, digits, kept, tmp_path, monkeypatch):
    folder, _ = kept
    train, test = digits.splits["train"], digits.splits["test"]

    def reused(representations=representations, digits=digits, evals=EVALS):
        # A copy, so that no change is kept for the next.
        copy = tmp_path / str(len(list(tmp_path.iterdir())))
        copy.mkdir()
        for path in folder.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        return run(representations, digits, copy, evals)[2]

    pixel = train.images.copy()
    pixel[7, 3, 3] ^= 1
    labels = test.labels.copy()
    labels[5] = (labels[5] + 1) % 10
    for split in (
        {"train": train._replace(images=pixel)},
        {"test": test._replace(labels=labels)},
        {"train": dataset.select(train, np.arange(1199))},
    ):
        assert reused(digits=digits._replace(splits={**digits.splits, **split})) == []
    moved = representations["untrained"]
    moved = moved._replace(params=jax.tree.map(lambda leaf: leaf + 1, moved.params))
    assert reused({**representations, "untrained": moved}) == ["knn of pca", "few of pca"]
    narrower = reference_representations.pca(train.images, 3)
    assert reused({**representations, "pca": narrower}) == ALL[:3]
    fewer = {**EVALS, "few": {**EVALS["few"], "subsets": 3}}
    assert "few of pca" not in reused(evals=fewer)
    with monkeypatch.context() as patched:
        changed = knn.PROTOCOLS["knn-v1"]._replace(neighbours=3)
        patched.setitem(knn.PROTOCOLS, "knn-v1", changed)
        assert reused() == ["filters of untrained"]
    with monkeypatch.context() as patched:
        patched.setattr(shared_results, "_code", lambda: "changed")
        assert reused() == []
    with jax.default_matmul_precision("highest"):
        assert reused(evals={"filters": EVALS["filters"]}) == []


def test_a_damaged_entry_is_computed_again(representations, digits, kept):
    folder, (rows, *_) = kept
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:30])
    again, _, reused = run(representations, digits, folder)
    assert reused == [] and again == rows
    assert run(representations, digits, folder)[2] == ALL


def test_a_folder_that_cannot_be_made_breaks_nothing(representations, digits, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    evals = {"knn": {"name": "knn", "taps": ("y",)}}
    pca = {"pca": representations["pca"]}
    for folder in (file / "controls", None):
        assert run(pca, digits, folder, evals)[2] == []


def test_the_oldest_entries_are_removed(representations, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(shared_results, "_MOST", 2)
    evals = {"knn": EVALS["knn"], "few": EVALS["few"], "knn_2": EVALS["knn"]}
    run({"pca": representations["pca"]}, digits, tmp_path, evals)
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_network_of_another_package_and_streamed_images_are_not_shared(encoder, digits):
    described = {"method": {"name": "mine.method.make"}}
    shared = shared_results.Results("folder", described)
    assert shared.depends(encoder, digits, {}) is not None  # pixels: no network
    assert shared.depends(encoder._replace(method="of mine"), digits, {}) is None


def test_the_folder_is_that_of_the_user_or_of_the_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("DIM_JAX_CACHE")
    assert user_cache.folder() == tmp_path / "dim_jax"
    monkeypatch.setenv("DIM_JAX_CACHE", str(tmp_path / "other"))
    assert user_cache.folder() == tmp_path / "other"
    monkeypatch.setenv("DIM_JAX_CACHE", "")
    assert user_cache.folder() is None
