import dataclasses
import json

import jax
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.evaluate import features, plan, reference_representations, results, suite
from dim_jax.evaluate.measures import ndm

EVALS = {
    "few": {"name": "knn", "labels_per_class": 5, "subsets": 2},
    "knn": {"name": "knn", "protocol": "knn-v1", "taps": ("conv", "y")},
    "uniformity": {"name": "uniformity"},
    "neighbours": {"name": "neighbours"},
    "filters": {"name": "filters"},
}


@pytest.fixture(scope="module")
def representations(encoder, digits):
    images = digits.splits["train"].images
    return {
        "trained": encoder,
        "untrained": encoder,
        "pixels": reference_representations.pixels(),
        "pca": reference_representations.pca(images, 8),
    }


@pytest.fixture(scope="module")
def finished(representations, digits):
    lines = []
    rows, figures = suite.run(EVALS, representations, digits, jax.random.key(0), lines.append)
    return rows, figures, lines


def test_every_representation_is_judged_on_its_taps(finished):
    rows, _, _ = finished
    found = {}
    for row in rows:
        taps = found.setdefault((row["eval"], row["representation"]), [])
        taps += [] if row["tap"] in taps else [row["tap"]]
    assert found == {
        ("few", "trained"): ["conv", "fc", "y"],
        ("few", "untrained"): ["conv", "fc", "y"],
        ("few", "pixels"): ["pixels"],
        ("few", "pca"): ["pca"],
        ("knn", "trained"): ["conv", "y"],
        ("knn", "untrained"): ["conv", "y"],
        ("knn", "pixels"): ["pixels"],
        ("knn", "pca"): ["pca"],
        ("uniformity", "trained"): ["y"],
        ("uniformity", "untrained"): ["y"],
        ("neighbours", "trained"): ["y"],
    }
    assert [row["eval"] for row in rows] == sorted(
        (row["eval"] for row in rows), key=list(EVALS).index
    )


def test_rows_are_what_results_json_holds(finished):
    rows, _, _ = finished
    json.dumps(rows, allow_nan=False)
    few = dict(next(row for row in rows if row["eval"] == "few" and row["tap"] == "conv"))
    value, std = few.pop("value"), few.pop("std")
    assert 0 < value < 1 and std > 0
    assert few == {
        "eval": "few",
        "protocol": "knn-v1",
        "representation": "trained",
        "tap": "conv",
        "dim": 64,
        "labels": "5 per class",
        "metric": "accuracy",
        "fits": 2,
        "split": "test",
        "dataset": None,
        "published": None,
    }
    full = next(row for row in rows if row["eval"] == "knn" and row["tap"] == "pca")
    assert (full["labels"], full["std"], full["fits"], full["dim"]) == ("all", None, 1, 8)
    metrics = {row["metric"] for row in rows if row["eval"] == "neighbours"}
    assert metrics == {"purity@4", "purity@4_sigmoid"}


def test_equal_representations_get_equal_results(finished):
    rows, _, _ = finished
    values = {name: [] for name in ("trained", "untrained")}
    for row in rows:
        if row["representation"] in values and row["eval"] != "neighbours":
            values[row["representation"]].append((row["value"], row["std"]))
    assert values["trained"] == values["untrained"]  # the same label subsets above all


def test_figures_and_one_line_for_each_evaluation(finished):
    _, figures, lines = finished
    assert [figure.file for figure in figures] == ["neighbours.png", "filters.png"]
    for figure in figures:
        assert figure.title and figure.caption and figure.image.dtype == np.uint8
    assert len(lines) == 4 + 4 + 2 + 1 + 1
    assert all("\n" not in line and line.endswith(" s)") for line in lines)
    assert lines[0].split()[:4] == ["few", "trained", "conv", lines[0].split()[3]]


def test_without_labels_one_line_says_what_is_left_out(representations, unlabelled):
    lines = []
    rows, figures = suite.run(EVALS, representations, unlabelled, jax.random.key(0), lines.append)
    assert {row["metric"] for row in rows} == {
        "kolmogorov_uniform",
        "kolmogorov_uniform_passed",
    }
    assert len(figures) == 2
    assert lines[0] == (
        "digits: none of the 1200 training images has a label, so left out: few, knn"
    )
    assert len(lines) == 1 + 2 + 1 + 1


def test_each_representation_is_encoded_once(encoder, digits):
    sizes = []

    def represent(images):
        if isinstance(images, np.ndarray):
            sizes.append(len(images))
        return encoder.represent(images)

    counting = encoder._replace(represent=represent)
    suite.run(EVALS, {"trained": counting}, digits, jax.random.key(0), lambda line: None)
    # 1,200 + 597 images in batches of 128
    assert sum(sizes) == 128 * (10 + 5)


def test_partly_labelled_images_are_encoded_for_those_who_see_them(encoder, digits):
    batches = []

    def represent(images):
        if isinstance(images, np.ndarray):
            batches.append(images)
        return encoder.represent(images)

    train = digits.splits["train"]
    labels = np.where(np.arange(1200) < 300, train.labels, -1).astype(np.int32)
    splits = {**digits.splits, "train": train._replace(labels=labels)}
    evals = {**EVALS, "svm": {"name": "svm", "taps": ("y",)}}
    counting = encoder._replace(represent=represent)
    arguments = ({"trained": counting}, digits._replace(splits=splits), jax.random.key(0))
    rows, _ = suite.run(evals, *arguments, lambda line: None)
    assert [row["eval"] for row in rows if row["metric"] == "accuracy"] == (
        ["few"] * 3 + ["knn"] * 2 + ["svm"]
    )
    assert len(batches) == 3 + 5  # 300 labelled ones and the test images, each once
    assert all((np.concatenate(batches[:3])[:300] == train.images[:300]).ravel())
    # What needs no labels still sees every training image.
    batches.clear()
    both = {"knn": EVALS["knn"], "ndm": {"name": "ndm", "protocol": "ndm-v1"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ndm, "EVALUATION", dataclasses.replace(ndm.EVALUATION, evaluate=_reading_train)
        )
        suite.run(both, *arguments, lambda line: None)
    assert len(batches) == 3 + 5 + 10


def _reading_train(frozen, splits, rng, *, protocol="ndm-v1", taps=("y",)):
    found = features.extract(frozen, splits["train"], taps)
    return {"y/count": float(len(found["y"]))}


def test_labels_of_a_row_say_that_they_were_permuted(encoder, digits, rng):
    evals = {
        "a": {"name": "knn", "taps": ("y",), "permuted": True},
        "b": {"name": "knn", "taps": ("y",), "permuted": True, "labels_per_class": 3},
    }
    rows, _ = suite.run(evals, {"trained": encoder}, digits, rng, lambda line: None)
    assert [row["labels"] for row in rows] == ["all, permuted", "3 per class, permuted"]
    assert rows[0]["value"] < 0.2


def test_views_are_of_networks_and_labels_say_so(network, digits, rng):
    def darker(images, key):
        return images // 2

    evals = {
        "plain": {"name": "knn", "taps": ("y",)},
        "one": {"name": "knn", "taps": ("y",), "views": 1},
        "mean": {"name": "knn", "taps": ("y",), "views": 3, "labels_per_class": 4, "subsets": 1},
    }
    judged = {"trained": network(darker), "pixels": reference_representations.pixels()}
    rows, _ = suite.run(evals, judged, digits, rng, lambda line: None)
    assert [(row["eval"], row["representation"], row["labels"]) for row in rows] == [
        ("plain", "trained", "all"),
        ("plain", "pixels", "all"),
        ("one", "trained", "all, one random view"),
        ("mean", "trained", "4 per class, mean of 3 views"),
    ]
    assert rows[0]["value"] != rows[2]["value"]
    evals = {"one": {**evals["one"], "representations": ("pixels",)}}
    with pytest.raises(contracts.UserError, match="was not trained on changed images"):
        suite.run(evals, judged, digits, rng, lambda line: None)
    with pytest.raises(contracts.UserError, match="'pixels', which is not trained on changed"):
        suite.check_representations(evals, judged, digits)
    with pytest.raises(contracts.UserError, match="views is -1"):
        suite.check({"one": {"name": "knn", "views": -1}})


@pytest.mark.parametrize("option", ["views", "augmentations"])
@pytest.mark.parametrize("names", [None, ("untrained",)])
def test_copies_that_no_change_tells_apart_are_refused(network, digits, option, names):
    def check(frozen, value):
        spec = {"name": "linear", "taps": ("y",), option: value, "representations": names}
        shown = {"trained": frozen, "untrained": frozen}
        suite.check_representations({"a": spec}, shown, digits)

    check(network(lambda images, key: images // 2), 2)
    check(network(), None)
    message = (
        rf"evals\.a\.{option} is 2 and the block augment changes no image .*a\.{option} to None"
    )
    with pytest.raises(contracts.UserError, match=message):
        check(network(), 2)
    with pytest.raises(contracts.UserError, match="which is not trained on changed images"):
        check(network()._replace(prepare=None), 2)


@pytest.mark.parametrize(
    ("options", "labels", "published"),
    [
        ({}, "all", 89.5),
        ({"augmentations": 1}, "all, 1 augmentation", 89.5),
        ({"augmentations": 30}, "all, 30 augmentations", 89.5),
        ({"augmentations": 30, "permuted": True}, "all, 30 augmentations, permuted", None),
        ({"labels_per_class": 5}, "5 per class", None),
    ],
)
def test_published_numbers_stand_beside_probes_of_augmented_images_too(options, labels, published):
    (entry,) = plan.parse({"linear": {"name": "linear", **options}})
    assert results._labels(entry) == labels
    row = dict(eval="linear", representation="trained", labels=labels, tap="y", metric="accuracy")
    assert results.published_value({"linear": {"y": 89.5}}, row) == published


def test_representations_can_be_chosen(representations, digits, rng):
    evals = {"knn": {"name": "knn", "representations": ("pca",)}}
    rows, _ = suite.run(evals, representations, digits, rng, lambda line: None)
    assert [row["representation"] for row in rows] == ["pca"]
    evals["knn"]["representations"] = ("pac",)
    with pytest.raises(contracts.UserError, match="did you mean 'pca'"):
        suite.run(evals, representations, digits, rng)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "mpl"}, "unknown evaluation 'mpl': did you mean 'mlp'"),
        ({"name": "features"}, "unknown evaluation 'features'"),
        (
            {"name": "mlp", "protocl": "x"},
            "the evaluation 'mlp' has no option 'protocl': did you mean 'protocol'",
        ),
        ({"name": "mlp", "protocol": "mlp-v9"}, "unknown MLP protocol 'mlp-v9'"),
        (
            {"name": "filters", "taps": ("y",)},
            "the evaluation 'filters' has no option 'taps': .* data, representations",
        ),
        ({"protocol": "mlp-v1"}, "evals.probe has no name"),
    ],
)
def test_mistakes_are_found_before_training(spec, message):
    with pytest.raises(contracts.UserError, match=message):
        suite.check({"probe": spec})


@pytest.mark.parametrize(
    ("key", "spec", "message"),
    [
        ("a", "svm", "evals.a has no name; set evals.a.name to one of alignment,"),
        ("a/b", {"name": "svm"}, "evals has the key 'a/b'; use letters"),
        ("mlp", {"name": "knn"}, "its key is that of 'mlp'.*use another key, such as knn_mlp"),
        ("views", {"name": "knn"}, "its key is that of 'training_views'"),
        ("a", {"name": "svm", "taps": "conv"}, r"evals.a.taps is 'conv'; set it to several names"),
        ("a", {"name": "svm", "taps": 3}, "evals.a.taps is 3; set it to several names"),
        ("a", {"name": "svm", "representations": "pca"}, "evals.a.representations is 'pca'; set"),
        ("a", {"name": "svm", "protocol": 3}, "evals.a.protocol is 3; set it to a string"),
        (
            "a",
            {"name": "svm", "labels_per_class": 5.0},
            "is 5.0; set it to 1 or a larger integer, or to None",
        ),
        (
            "a",
            {"name": "svm", "labels_per_class": True},
            "is True; set it to 1 or a larger integer",
        ),
        (
            "a",
            {"name": "svm", "permuted": "yes"},
            "evals.a.permuted is 'yes'; set it to True or False",
        ),
        ("a", {"name": "prior_fit", "prior": "x"}, "prior is 'x'; set it to 'uniform' or 'gaus"),
        ("a", {"name": "tsne", "classes": ["a"]}, "the evaluation 'tsne' has no option 'classes'"),
    ],
)
def test_specs_that_are_not_valid(key, spec, message):
    with pytest.raises(contracts.UserError, match=message):
        suite.check({key: spec})


def test_the_number_of_label_subsets_is_checked_before_training(digits):
    spec = {"name": "knn", "labels_per_class": 5, "subsets": 0}
    with pytest.raises(contracts.UserError, match=r"evals\.few\.subsets is 0; set it to 1"):
        suite.check({"few": spec}, digits)


def test_two_pictures_of_one_kind_have_two_files(encoder, digits, rng):
    evals = {"filters": {"name": "filters"}, "again": {"name": "filters"}}
    _, figures = suite.run(evals, {"trained": encoder}, digits, rng, lambda line: None)
    assert [figure.file for figure in figures] == ["filters.png", "again_filters.png"]


def test_too_few_labels_are_found_before_training(digits, unlabelled):
    evals = {"few": {"name": "svm", "labels_per_class": 500}}
    evals["many"] = {"name": "knn", "labels_per_class": 300}
    with pytest.raises(
        contracts.UserError,
        match=r"the class two has only 109 .* with --config\.evals\.few\.labels_per_class=109 "
        r"--config\.evals\.many\.labels_per_class=109$",
    ):
        suite.check(evals, digits)
    suite.check(evals)
    suite.check(evals, unlabelled)  # nothing will be drawn
    train = digits.splits["train"]
    labels = np.where(np.arange(1200) < 100, train.labels, -1).astype(np.int32)
    partly = digits._replace(splits={**digits.splits, "train": train._replace(labels=labels)})
    evals = {"few": {"name": "svm", "labels_per_class": 60}}
    suite.check(evals, digits)
    with pytest.raises(contracts.UserError, match=r"labels per class, with --config\.evals\.few"):
        suite.check(evals, partly)


def test_unknown_tap_of_an_encoder(representations, digits, rng):
    with pytest.raises(
        contracts.UserError,
        match="the trained representation has no tap 'conf': did you mean 'conv'",
    ):
        suite.run({"knn": {"name": "knn", "taps": ("conf",)}}, representations, digits, rng)


def test_taps_that_no_loss_reaches_are_not_judged(representations, digits, rng):
    """On no representation, and an evaluation that reads no other tap is left out."""
    trained = representations["trained"]._replace(unreached=("fc", "y"))
    evals = {
        "knn": {"name": "knn"},
        "of_y": {"name": "rank", "taps": ("y",)},
        "uniformity": {"name": "uniformity"},
        "neighbours": {"name": "neighbours"},
        "tuned": {"name": "finetune", "taps": ("fc",), "representations": ()},
        "filters": {"name": "filters"},
    }
    entries = plan.judged(plan.parse(evals), trained.unreached)
    assert [entry.key for entry in entries] == ["knn", "tuned", "filters"]
    assert entries[1].options["taps"] == ("fc",)  # it trains the layers itself
    (said,) = plan.not_judged(evals, trained.unreached)
    assert said.startswith("fc, y: no loss of this method reaches them, so they are not judged")
    assert said.endswith("left out: of_y, uniformity, neighbours.")
    assert plan.not_judged({"knn": evals["knn"]}, ("y",)) == [
        "y: no loss of this method reaches it, so it is not judged."
    ]
    assert plan.not_judged(evals, ()) == []
    judged = {**representations, "trained": trained}
    few = {key: evals[key] for key in ("knn", "of_y")}
    suite.check_representations(few, judged, digits)
    rows, _ = suite.run(few, judged, digits, rng, lambda line: None)
    assert {(row["eval"], row["representation"], row["tap"]) for row in rows} == {
        *(("knn", name, "conv") for name in ("trained", "untrained")),
        *(("knn", name, name) for name in ("pixels", "pca")),
    }
    with pytest.raises(contracts.UserError, match="no tap 'conf'"):
        suite.run({"knn": {"name": "knn", "taps": ("conf", "y")}}, judged, digits, rng)


@pytest.mark.parametrize("name", ["pixels", "pca"])
def test_representations_without_a_method_are_refused_before_training(
    name, representations, digits
):
    evals = {"samples": {"name": "samples", "representations": ("trained", name)}}
    generative = contracts.Generative(None, draw=lambda rng, shape: None)
    trained = representations["trained"]._replace(
        method=contracts.Method(None, None, None, generative)
    )
    message = f"evals.samples.representations has '{name}': .* draws none"
    with pytest.raises(contracts.UserError, match=message):
        suite.check_representations(
            evals, representations | {"trained": trained, "pca": None}, digits
        )
