"""Samples judged by a small network: perfect ones, poor ones, and what a config may get wrong."""

import functools
import types

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from configs import common
from dim_jax import contracts, data
from dim_jax.data import facts
from dim_jax.evaluate import judges, plan, sample_quality, suite
from dim_jax.evaluate.measures import fid
from dim_jax.nets import inception

COUNT = 200
CODES = 5


def normalise(images):
    return facts.normalise(images, (0.5,), (0.25,))


def generator(decode) -> contracts.Frozen:
    """A method whose codes are uniform, f[n,5], and of another width than y."""

    def draw(rng, shape):
        assert shape[1] == CODES
        return jax.random.uniform(rng, shape)

    generative = contracts.Generative(decode, draw=draw, width=CODES)
    method = contracts.Method(None, None, None, generative)
    represent = jax.jit(lambda images: {"y": normalise(images).mean((1, 2, 3))[:, None]})
    return contracts.Frozen(represent, method, {}, {}, normalise)


def copies(digits) -> contracts.Frozen:
    """Each code makes a test image, which the reference has not seen."""
    images = jnp.asarray(digits.splits["test"].images)

    def decode(params, state, codes):
        return normalise(images[(codes[:, 0] * len(images)).astype(int)])

    return generator(decode)


def grey(params, state, codes):
    return jnp.zeros((len(codes), 8, 8, 1)) + codes[:, :1, None, None]


@pytest.fixture
def judge(monkeypatch) -> judges.Judge:
    """Means of 2x2 pixels, and two classes: the lower half is lighter, or not."""

    @jax.jit
    def features(images):
        assert images.dtype == jnp.uint8 and len(images) == 64
        return images.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, 16) / 255.0

    @jax.jit
    def probabilities(rows):
        return jax.nn.softmax(rows.reshape(-1, 2, 8).sum(-1))

    made = judges.Judge("small", features, probabilities, 64, "digest")
    monkeypatch.setattr(judges, "load", lambda *_: made)
    fewer = fid.PROTOCOLS["fid-v1"]._replace(subsets=3)
    monkeypatch.setitem(fid.PROTOCOLS, "fid-v1", fewer)
    return made


def evaluate(frozen, digits, rng, **options) -> dict[str, float]:
    return fid.evaluate(frozen, digits.splits, rng, encoder="", images=COUNT, **options)


def test_good_samples_are_like_real_ones_and_poor_ones_are_not(digits, rng, judge):
    good, poor = (evaluate(each, digits, rng) for each in (copies(digits), generator(grey)))
    assert good["real/fid[small]"] == poor["real/fid[small]"]
    assert good["samples/fid[small]"] < 2 * good["real/fid[small]"]
    assert poor["samples/fid[small]"] > 10 * good["samples/fid[small]"]
    assert poor["noise/fid[small]"] > 10 * good["samples/fid[small]"]
    assert abs(good["samples/kid[small]"]) < 0.1 * poor["samples/kid[small]"]
    assert good["samples/kid[small]_std"] is None  # each subset would be of all images
    assert good["samples/precision[small]"] > 0.7 and good["samples/recall[small]"] > 0.7
    assert poor["samples/recall[small]"] == poor["noise/precision[small]"] == 0
    for column in ("samples", "real", "noise"):
        assert good[f"{column}/images"] == COUNT
        assert 1 <= good[f"{column}/inception_score[small]"] <= 2
    assert poor["samples/inception_score[small]"] == pytest.approx(1, abs=1e-6)


def test_the_number_is_that_of_all_features_at_once(digits, rng, judge, monkeypatch):
    monkeypatch.setattr(fid, "_BLOCK", 100)
    found = evaluate(generator(grey), digits, rng, against="test")
    codes = jax.random.uniform(rng, (COUNT, CODES))[:, 0]
    pixels = np.rint(np.clip(0.25 * codes + 0.5, 0, 1) * 255) / 255
    random = np.random.default_rng([0, 6])
    rows = random.permutation(len(digits.splits["test"].images))[:COUNT]
    real = np.concatenate(
        [
            judge.features(np.resize(digits.splits["test"].images[part], (64, 8, 8, 1)))
            for part in np.array_split(rows, 4)
        ]
    )
    # Parts of 50 images are repeated up to 64.
    real = np.concatenate([part[:50] for part in np.split(real, 4)])
    expected = sample_quality.frechet_distance(
        sample_quality.moments(real), sample_quality.moments(np.repeat(pixels[:, None], 16, axis=1))
    )
    assert found["samples/fid[small]"] == pytest.approx(expected, rel=1e-6)


def test_few_images_are_compared_by_halves(digits, rng, judge):
    """Of 201 training images: all of them with samples, and a hundred with another hundred."""
    train = digits.splits["train"]
    few = digits.splits | {"train": train._replace(images=train.images[:201])}
    found = fid.evaluate(copies(digits), few, rng, encoder="")
    assert (found["samples/images"], found["real/images"]) == (201, 100)


def test_an_entry_without_a_network_is_left_out(digits, rng):
    evals = ml_collections.ConfigDict(common.sample_quality()).to_dict()
    (line,) = plan.left_out(evals)
    assert line.startswith("left out: evals.fid, it needs a network") and "weights" in line
    assert not plan.parse(evals)
    assert suite.run(evals, {"trained": copies(digits)}, digits, rng) == ([], [])


def test_rows_say_how_many_images_and_which(digits, rng, judge, monkeypatch):
    settings = fid.PROTOCOLS["fid-v1"]._replace(size=COUNT // 2)
    monkeypatch.setitem(fid.PROTOCOLS, "fid-v1", settings)
    evals = {"fid": dict(name="fid", encoder="run", images=COUNT, against="test")}
    rows, _ = suite.run(evals, {"trained": copies(digits)}, digits, rng, log=lambda line: None)
    row = next(row for row in rows if row["metric"] == "kid[small]")
    assert row["labels"] == "all, 200 images, against test images"
    assert (row["protocol"], row["tap"], row["fits"]) == ("fid-v1", "samples", 1)
    assert row["std"] > 0


def _encoder(**card) -> judges.Judge:
    card = {"image_shape": [8, 8, 1], "data": "digits"} | card
    return judges.Judge("supervised", None, None, 1, "", card)


@pytest.mark.parametrize(
    ("judge", "shape", "message"),
    [
        (
            _encoder(data="mnist"),
            (8, 8, 1),
            "trained on mnist 8x8x1, and this run has digits 8x8x1",
        ),
        (_encoder(), (8, 8, 3), "trained on digits 8x8x1, and this run has digits 8x8x3"),
        (judges.Judge("inception", None, None, 1, ""), (8, 8, 4), "4 channels and Inception"),
        (_encoder(fit="pad"), (8, 8, 1), "data.fit pad, and this run has data.fit resize"),
    ],
)
def test_a_network_of_other_images(judge, shape, message):
    with pytest.raises(contracts.UserError, match=message):
        judge.check(facts.Facts("digits", shape, None, None, None, fit="resize"))


def test_images_with_the_size_of_their_files_are_the_same_by_every_fit():
    padded, older = _encoder(fit="pad"), _encoder()
    for judge, fit in ((padded, None), (padded, "pad"), (older, "pad")):
        judge.check(facts.Facts("digits", (8, 8, 1), None, None, None, fit=fit))


def test_data_know_how_they_were_given_their_size():
    for size, fit in ((None, None), (12, "pad")):
        assert data.load("digits", image_size=size, fit="pad").facts.fit == fit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(weights="a.npz", encoder="run"), "encoder are both set; set one of them"),
        (dict(encoder=""), "evals.fid.encoder is an empty path"),
        (dict(weights="missing.npz"), "cannot be read.*pt_inception-2015-12-05-6726825d.pth"),
        (dict(encoder="missing"), "missing"),
        (dict(encoder="run", images=7), "evals.fid.images is 7; set it to 8 or more"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises(contracts.UserError, match=message):
        fid.check_options(options, None)


def test_a_method_without_a_generator_and_images_that_are_not_bytes(digits):
    with pytest.raises(contracts.UserError, match="draws none"):
        fid.check_method(contracts.Method(None, None, None))
    train = digits.splits["train"]
    for images, message in ((train.images / 255, "float64"), (train.images[:7], "has 7 images")):
        with pytest.raises(contracts.UserError, match=message):
            fid.check_splits(digits.splits | {"train": train._replace(images=images)})


@pytest.fixture
def small(monkeypatch) -> dict[str, np.ndarray]:
    """Weights of a network of two arrays in the place of Inception's."""
    shapes = {"fc.weight": (2, 3), "fc.bias": (2,)}
    monkeypatch.setattr(inception, "shapes", functools.cache(lambda: shapes))
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}


def _save(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        pytest.importorskip("safetensors.numpy").save_file(arrays, path)
    return path


@pytest.mark.parametrize("name", ["weights.npz", "weights.safetensors"])
def test_weights_are_read_without_counters(tmp_path, small, name):
    counter = {"bn.num_batches_tracked": np.ones((1,), np.int64)}
    found = judges.read_inception(_save(tmp_path / name, small | counter))
    assert found.keys() == small.keys() and found["fc.weight"].shape == (2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.pop("fc.bias"), "it lacks the array fc.bias"),
        (lambda arrays: arrays.update(other=np.ones(2)), "it has the array other"),
        (lambda arrays: arrays.update({"fc.bias": np.ones(3)}), r"has fc.bias \[3\] and not \[2\]"),
        (lambda arrays: arrays.update({"fc.bias": np.full(2, np.nan)}), "not finite numbers"),
    ],
)
def test_other_weights(tmp_path, small, change, message):
    change(small)
    with pytest.raises(contracts.UserError, match=message):
        judges.read_inception(_save(tmp_path / "weights.npz", small))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("weights.pth", "read from .safetensors or .npz; convert"),
        ("weights.npz", "damaged or no .npz file"),
        ("weights.safetensors", "damaged or no .safetensors file"),
    ],
)
def test_files_that_hold_no_weights(tmp_path, name, message):
    path = tmp_path / name
    path.write_bytes(b"no weights, and of some length")
    with pytest.raises(contracts.UserError, match=message):
        judges.read_inception(path)


def test_features_that_are_not_finite():
    network = judges.Judge("small", lambda images: images / np.float32(np.nan), None, 2, "")
    with pytest.raises(contracts.UserError, match="'small' makes features of images that are not"):
        list(network.encode([np.ones((1, 2), np.uint8)]))


@pytest.mark.parametrize(("tap", "label"), [("conv", "supervised"), ("y", "supervised y")])
def test_an_encoder_is_named_by_its_config_and_averaged_over_locations(monkeypatch, tap, label):
    taps = {"conv": jnp.arange(8.0).reshape(1, 2, 2, 2), "y": jnp.arange(2.0)[None]}
    loaded = types.SimpleNamespace(
        card={"taps": taps, "config": "supervised"},
        params=[np.ones(1)],
        stats=[],
        encode=lambda images, wanted: {name: taps[name] for name in wanted},
    )
    monkeypatch.setattr(judges.encoder, "load_encoder", lambda path: loaded)
    found = judges.load(None, "run", tap)
    assert found.label == label and found.probabilities is None
    np.testing.assert_array_equal(found.features(None), [[3, 4] if tap == "conv" else [0, 1]])
    with pytest.raises(contracts.UserError, match="unknown tap"):
        judges.load(None, "run", "z")
