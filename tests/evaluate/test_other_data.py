"""Evaluations on other data sets than a run's: which images they see, and users' mistakes."""

import jax
import numpy as np
import pytest
from PIL import Image
from sklearn import neighbors

from dim_jax import contracts, data, settings
from dim_jax.data import colours
from dim_jax.data.pixel_range import PixelRange
from dim_jax.evaluate import other_data, plan, suite
from dim_jax.evaluate.probes import knn

TAPS = ("fc", "y")


@pytest.fixture(scope="module")
def made(digits, tmp_path_factory):
    """The function (name, change, labels=True) -> `array:PATH` of the digits, changed."""
    folder = tmp_path_factory.mktemp("arrays")

    def make(name, change=lambda images: images, labels=True) -> str:
        arrays = {}
        for role, split in digits.splits.items():
            arrays[f"{role}_images"] = change(split.images)
            if labels:
                arrays[f"{role}_labels"] = 9 - split.labels
        np.savez(folder / f"{name}.npz", **arrays)
        return f"array:{folder / name}.npz"

    return make


@pytest.fixture(scope="module")
def darker(made) -> str:
    return made("darker", lambda images: images // 2)


@pytest.fixture(scope="module")
def judged(digits) -> other_data.DataSets:
    return other_data.DataSets(settings.Data(name="digits"), digits)


def run(judged, evals, encoder, *arguments):
    judged.check(evals)
    judged.check_representations(evals, encoder, encoder)
    return judged.run(
        evals, encoder, encoder, jax.random.key(0), *(arguments or (lambda line: None,))
    )


def test_accuracy_is_that_of_the_features_of_the_other_images(judged, darker, encoder, digits):
    """As scikit-learn has it of images that this test changes itself."""
    evals = {
        "knn_dark": {"name": "knn", "taps": TAPS, "data": darker},
        "knn": {"name": "knn", "taps": TAPS},
        "neighbours_dark": {"name": "neighbours", "data": darker},
        "neighbours": {"name": "neighbours"},
    }
    rows, figures, _ = run(judged, evals, encoder)
    assert [*dict.fromkeys(row["eval"] for row in rows)] == [*evals]
    found = {
        (row["eval"], row["tap"]): row["value"]
        for row in rows
        if row["representation"] == "trained"
    }
    named = {row["eval"]: row["dataset"] for row in rows}
    assert named == dict(knn_dark=darker, knn=None, neighbours_dark=darker, neighbours=None)
    protocol = knn.PROTOCOLS["knn-v1"]
    for key, divisor in (("knn", 1), ("knn_dark", 2)):
        taps = {
            role: encoder.represent(split.images // divisor)
            for role, split in digits.splits.items()
        }
        for tap in TAPS:
            reference = neighbors.KNeighborsClassifier(
                protocol.neighbours,
                metric="cosine",
                algorithm="brute",
                weights=lambda distances: np.exp(-distances / protocol.temperature),
            ).fit(taps["train"][tap], digits.splits["train"].labels)
            accuracy = reference.score(taps["test"][tap], digits.splits["test"].labels)
            assert found[key, tap] == pytest.approx(accuracy, abs=0.004)
    assert found["knn", "y"] != found["knn_dark", "y"]
    files = [figure.file for figure in figures]
    assert files == ["neighbours.png", "neighbours_dark_neighbours.png"]
    assert darker in figures[1].title


def test_controls_are_those_of_the_other_images(judged, darker, encoder, digits):
    spec = {"name": "knn", "representations": ("pixels", "pca")}
    rows, _, _ = run(judged, {"knn_dark": dict(spec, data=darker)}, encoder)
    splits = {
        role: split._replace(images=split.images // 2, labels=9 - split.labels)
        for role, split in digits.splits.items()
    }
    own = other_data.DataSets(settings.Data(name="digits"), digits._replace(splits=splits))
    wanted, _, _ = run(own, {"knn_dark": spec}, encoder)
    assert [{**row, "dataset": darker} for row in wanted] == rows


def test_each_data_set_is_read_once_and_its_images_when_they_are_judged(
    judged, darker, encoder, monkeypatch
):
    reads = []
    load = data.load_like
    monkeypatch.setattr(data, "load_like", lambda *given: reads.append(given) or load(*given))
    evals = {
        key: {"name": "prior_fit", "data": {"name": darker, "test_split": None}}
        for key in ("first", "second")
    }
    judged.check(evals)
    ((block, _),) = reads
    assert block.road == "streaming" and block.image_size == 8
    lines = judged.describe()
    assert lines[-1].startswith("evals.second: on ") and lines[-1].endswith("of 8x8x1")
    judged.run(evals, encoder, encoder, jax.random.key(0), lambda line: None)
    assert [given[0].road for given in reads] == ["streaming", "auto"]


def test_the_name_of_the_runs_data_set_is_that_data_set(judged, encoder, monkeypatch):
    monkeypatch.setattr(data, "load_like", None)  # nothing is read
    spec = {"name": "prior_fit", "representations": ("trained",)}
    rows, _, _ = run(judged, {"a": spec, "b": dict(spec, data="digits")}, encoder)
    values = [row["value"] for row in rows]
    assert len(values) == 4 and values[:2] == values[2:]


@pytest.mark.parametrize("road", ["resident", "streaming"])
def test_grey_and_coloured_images_become_each_other(tmp_path, road):
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "rgb" / name).mkdir(parents=True)
        for number in range(4):
            pixels = random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "rgb" / name / f"{number}.png")
    rgb = data.load(f"folder:{tmp_path / 'rgb'}", road=road)
    grey = colours.with_channels(rgb, 1)
    assert grey.facts.shape == (8, 8, 1) and "become grey" in grey.notes[-1]
    before, after = (np.asarray(each.splits["train"].images) for each in (rgb, grey))
    wanted = np.rint(before.astype(np.float64) @ [0.299, 0.587, 0.114])[..., None]
    assert np.abs(after - wanted).max() <= 1 and np.mean(after == wanted) > 0.99
    again = colours.with_channels(grey, 3)
    images = again.splits["train"].images
    assert images.shape == before.shape and images[0].shape == (8, 8, 3)
    np.testing.assert_array_equal(images[:, 2:6, 2:6][:], np.repeat(after, 3, -1)[:, 2:6, 2:6])
    assert colours.with_channels(rgb, 3) is rgb


def test_raw_pixels_have_the_range_of_the_runs(digits, made):
    """The encoder normalises by what it was trained on, not by the other images' ends."""
    known = PixelRange((0.0,), (510.0,))
    splits = {
        role: split._replace(images=split.images.astype(np.int16), pixel_range=known)
        for role, split in digits.splits.items()
    }
    facts = digits.facts._replace(dtype="int16", pixel_range=known)
    own = digits._replace(facts=facts, splits=splits)
    name = made("int16", lambda images: images.astype(np.int16) + 100)
    loaded = data.load_like(settings.Data(name=name), own)
    assert loaded.facts.pixel_range == known
    assert {split.pixel_range for split in loaded.splits.values()} == {known}


def test_images_are_cropped_as_those_of_the_run(digits, made):
    name = made("wide", lambda images: np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))))
    own = data.evaluated(digits, 6)
    cropped = other_data.DataSets(settings.Data(name="digits"), own)
    evals = {"fit": {"name": "prior_fit", "data": dict(name=name, fit="crop")}}
    cropped.check(evals)
    opened = cropped._opened["fit"]
    np.testing.assert_array_equal(
        np.asarray(opened.splits["test"].images), own.splits["test"].images
    )
    evals["fit"]["data"]["image_size"] = 10  # then as they are
    cropped.check(evals)
    assert cropped._opened["fit"].facts.shape == (10, 10, 1)


def test_parts_of_evals_by_their_data():
    spec = {"name": "knn"}
    evals = {
        "a": dict(spec, data="mnist"),
        "b": spec,
        "c": dict(spec, data={"name": "mnist", "test_split": None}),
        "d": dict(spec, data={"name": "mnist", "test_split": "test[:9]"}),
    }
    parts = [(data, [*part]) for data, part in plan.by_data(evals)]
    assert parts == [
        (None, ["b"]),
        ({"name": "mnist"}, ["a", "c"]),
        ({"name": "mnist", "test_split": "test[:9]"}, ["d"]),
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "evals.p.data is 3; set it to the name of a data set"),
        ({"test_split": "test"}, "evals.p.data names no data set; set evals.p.data.name"),
        ({"name": "mnist", "scaling": "unit"}, "evals.p.data has no setting 'scaling'"),
        ({"name": "mnist", "test_splits": "a"}, "did you mean 'test_split'"),
        ({"name": "mnist", "image_size": 0}, r"evals.p.data.image_size is 0; set it to 1 or"),
    ],
)
def test_what_is_no_data_set_is_refused(value, message):
    with pytest.raises(contracts.UserError, match=message):
        suite.check({"p": {"name": "knn", "data": value}})


def check(judged, spec, encoder=None):
    evals = {"p": spec}
    judged.check(evals)
    if encoder is not None:
        judged.check_representations(evals, encoder, encoder)


def test_mistakes_are_one_sentence_before_training(judged, made, darker, encoder, tmp_path):
    mistakes = {
        "evals.p.data: .*digit": "digit",
        "evals.p.data: .* does not exist": f"folder:{tmp_path}/nowhere",
        "none of the 1200 training images has a label, and the evaluation 'knn' tells": made(
            "unlabelled", labels=False
        ),
        "have 5 channels and the encoder takes 1": made(
            "five", lambda images: np.repeat(images, 5, axis=-1)
        ),
        "are float32 and those that the encoder takes are uint8": made(
            "floats", lambda images: images.astype(np.float32)
        ),
        "evals.p.data.train_split": dict(name=darker, train_split="trian"),
    }
    for message, value in mistakes.items():
        with pytest.raises(contracts.UserError, match=message) as caught:
            check(judged, {"name": "knn", "data": value})
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(contracts.UserError, match="of 16x16x1, which this encoder does not take"):
        check(judged, {"name": "knn", "data": dict(name=darker, image_size=16)}, encoder)
    unlabelled = made("unlabelled", labels=False)
    check(judged, {"name": "prior_fit", "data": unlabelled}, encoder)  # which needs none


def test_too_few_labels_and_seed_patches_are_told_of_the_other_data(judged, darker):
    with pytest.raises(contracts.UserError, match=r"evals.p.data: the class .* has only 1"):
        check(judged, {"name": "knn", "labels_per_class": 500, "data": darker})
    with pytest.raises(contracts.UserError, match=r"evals.p.data: .* is of seed patches"):
        check(judged, {"name": "exemplar_bound", "data": darker})


def test_one_class_cannot_be_told_apart(judged, made):
    alone = made("alone")
    path = alone.removeprefix("array:")
    arrays = dict(np.load(path))
    arrays |= {name: np.zeros_like(array) for name, array in arrays.items() if "labels" in name}
    np.savez(path, **arrays)
    with pytest.raises(contracts.UserError, match="none of the 1200 training images has a label"):
        check(judged, {"name": "knn", "data": alone})


def test_labels_of_tensorflow_datasets_are_sampled_before_training(judged, digits, monkeypatch):
    """All of them are read when they are judged, and then they count."""
    test = digits.splits["test"]
    labels = np.where(np.arange(len(test.labels)) == 5, -1, test.labels).astype(np.int32)
    splits = {**digits.splits, "test": test._replace(labels=labels)}
    monkeypatch.setattr(data, "load_like", lambda block, like: digits._replace(splits=splits))
    monkeypatch.setattr(other_data, "_SAMPLE", 50)
    evals = {"p": {"name": "knn", "labels_per_class": 50, "data": "some_tfds_name"}}
    judged.check(evals)
    assert len(judged._opened["p"].splits["train"].images) == 50
    assert judged.describe()[-1].endswith("1,200 training and 597 test images of 8x8x1")
    with pytest.raises(contracts.UserError, match="1 of 597 test images have no label"):
        judged.run(evals, None, None, jax.random.key(0))


def test_a_classifier_of_the_runs_classes_does_not_judge_others(judged, darker):
    with pytest.raises(contracts.UserError, match="are not those that the method was trained on"):
        check(judged, {"name": "own_classifier", "data": darker})


def test_test_images_that_the_encoder_was_trained_on_are_counted(encoder):
    """Of other splits of the run's data; copies in an array are other images."""
    own, half = data.load("digits"), {"name": "digits", "test_fraction": 0.5}
    judged = other_data.DataSets(settings.Data(name="digits"), own)
    evals = {"prior_fit_half": {"name": "prior_fit", "data": half}, "p": {"name": "prior_fit"}}
    *_, notes = run(judged, evals, encoder)
    other = data.load("digits", test_fraction=0.5).stored["test"]["digits"]
    shared = len({*other.tolist()} & {*own.stored["train"]["digits"].tolist()})
    said = (
        f"evals.prior_fit_half: {shared} of the {len(other)} test images of digits are among those "
        "that the encoder was trained on: results on them do not show how well the encoder "
        "generalises."
    )
    assert shared and notes == [said]
    assert f"note: {said}" in judged.describe()
