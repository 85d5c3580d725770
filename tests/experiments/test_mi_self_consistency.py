"""Masked images beside plain NumPy, closed forms of normal laws, and ratios by hand."""

import json

import jax
import numpy as np
import pytest

from experiments import fragments_consistency, masked_images, mi_self_consistency
from experiments import mi_self_consistency_summary as summaries

SHAPE = (6, 4, 1)


def images(count: int = 40, values: int = 256) -> masked_images.Images:
    random = np.random.default_rng(0)
    train, test = random.integers(0, values, (2, count, 24), dtype=np.uint8)
    return masked_images.Images(train, test, SHAPE, np.array([0.25], np.float32))


@pytest.mark.parametrize("test", masked_images.TESTS)
def test_draws_are_images_and_their_upper_rows(test):
    known = images()
    draw = masked_images.draw_one if test == "baseline" else masked_images.draw_two
    given = masked_images.given(known, test, 4)
    x, y = map(np.asarray, jax.jit(draw(16))(jax.random.key(0), given))
    originals = known.train / 255 - 0.25
    halves = np.split(x, 1 if test == "baseline" else 2, axis=1)
    places = [np.abs(half[:, None] - originals).max(axis=2).argmin(axis=1) for half in halves]
    for half, place in zip(halves, places, strict=True):
        np.testing.assert_allclose(half, originals[place], atol=1e-6)
        assert len({*place}) == 16  # no image is in the batch twice
    np.testing.assert_array_equal(y[:, :16], x[:, :16])  # 4 rows of 4 pixels
    assert (y[:, 16:24] == 0).all()
    if test != "baseline":
        assert (places[0] == places[1]).all() == (test == "processing")
        kept = 16 if test == "additivity" else 4
        np.testing.assert_array_equal(y[:, 24 : 24 + kept], x[:, 24 : 24 + kept])
        assert (y[:, 24 + kept :] == 0).all()


@pytest.mark.parametrize("test", masked_images.TESTS)
def test_pairs_of_the_estimate_are_test_images_in_channels(test):
    known = images()
    x, y = masked_images.pairs(known, test, 4, samples=20, seed=1)
    channels = 1 if test == "baseline" else 2
    assert x.shape == y.shape == (20, 6, 4, channels) and x.dtype == np.uint8
    np.testing.assert_array_equal(y[:, :4, :, 0], x[:, :4, :, 0])
    assert (y[:, 4:] == 0).all()
    if channels == 2:
        assert np.array_equal(x[..., 0], x[..., 1]) == (test == "processing")
        kept = 4 if test == "additivity" else 1
        np.testing.assert_array_equal(y[:, :kept, :, 1], x[:, :kept, :, 1])
        assert (y[:, kept:, :, 1] == 0).all()
    rows = {row.tobytes() for row in known.test}
    assert all(image[..., k].tobytes() in rows for image in x for k in range(channels))
    with pytest.raises(ValueError, match="42 images are needed"):
        masked_images.pairs(known, test, 4, samples=21, seed=1)


def test_entropy_is_between_its_brackets():
    assert masked_images.entropy_bracket(images(), 0) == (0.0, 0.0)
    bits = masked_images.entropy_bracket(images(20_000, values=2), 2)
    np.testing.assert_allclose(bits, 8 * np.log(2), rtol=0.01)  # of independent pixels both are it
    constant = images(20_000, values=2)
    constant.train[:] = constant.train[:, :1]
    low, high = masked_images.entropy_bracket(constant, 2)
    np.testing.assert_allclose([low, high], [np.log(2), 2 * np.log(2)], rtol=0.01)


def test_difference_of_entropies_of_normal_laws_is_that_of_their_determinants():
    random = np.random.default_rng(0)
    factor, other = random.normal(size=(2, 6, 6))
    fitted, held = factor @ factor.T, other @ other.T + factor @ factor.T
    shown = np.arange(6) < 4
    joint = [
        np.block([[c, c[:, :4]], [c[:4], c[:4, :4]]]) + np.eye(10) / 12 for c in (fitted, held)
    ]

    def code(columns):
        q, p = (each[np.ix_(columns, columns)] for each in joint)
        return (np.linalg.slogdet(q)[1] + np.trace(np.linalg.inv(q) @ p)) / 2

    expected = code([*range(6)]) + code([*range(6, 10)]) - code([*range(10)])
    known = masked_images.Moments(fitted, held)
    np.testing.assert_allclose(masked_images.gaussian_difference(known, shown), expected)
    assert masked_images.gaussian_difference(known, np.zeros(6, bool)) == 0.0
    twice = masked_images.Moments(*(np.kron(np.eye(2), each) for each in known))
    both = masked_images.gaussian_difference(twice, np.tile(shown, 2))
    np.testing.assert_allclose(both, 2 * expected)


def row(test: str, rows: int, seed: int, value: float | None) -> dict:
    names = dict(part="critics", data="mnist", form="separable")
    return {**names, "test": test, "rows": rows, "seed": seed, "values": {"infonce": value}}


def rows(values: dict) -> list[dict]:
    return [
        row(test, visible, seed, value)
        for (test, visible), drawn in values.items()
        for seed, value in enumerate(drawn)
    ]


GOOD = {
    ("baseline", 0): (0.01, -0.01, 0.0),
    ("baseline", 7): (2.0, 2.0, 4.0),
    ("baseline", 14): (3.0, 3.0, 3.0),
    ("processing", 7): (2.0, 2.2, 4.4),
    ("additivity", 7): (4.0, 4.2, 7.6),
}


def test_ratios_are_of_values_of_a_seed_with_intervals_of_students_t():
    (entry,) = summaries.summary(rows(GOOD))
    assert entry["passes"] == {"baseline": "hit", "processing": "hit", "additivity": "hit"}
    (point,) = entry["processing"]
    np.testing.assert_allclose(point["mean"], 16 / 15)
    reach = 4.302653 * np.std([1, 1.1, 1.1], ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(point["interval"], [16 / 15 - reach, 16 / 15 + reach], rtol=1e-6)


@pytest.mark.parametrize(
    "missed, cell, drawn",
    [
        ("baseline", ("baseline", 0), (0.2, 0.1, 0.2)),
        ("baseline", ("baseline", 14), (2.0, 2.0, 2.0)),
        ("baseline", ("baseline", 14), (3.0, None, 3.0)),
        ("processing", ("processing", 7), (2.4, 2.4, 4.8)),
        ("additivity", ("additivity", 7), (3.0, 3.0, 6.0)),
        ("additivity", ("additivity", 14), (6.0, 6.0, None)),
    ],
)
def test_each_verdict_is_missed_by_what_it_judges(missed, cell, drawn):
    (entry,) = summaries.summary(rows(GOOD | {cell: drawn}))
    assert [test for test, verdict in entry["passes"].items() if verdict == "miss"] == [missed]


@pytest.mark.slow
def test_smoke_runs_once_and_writes_all(tmp_path, monkeypatch):
    content = mi_self_consistency.run("smoke", tmp_path)
    path = tmp_path / "mi_self_consistency_smoke.json"
    assert (tmp_path / "mi_self_consistency_smoke.png").stat().st_size > 10_000
    (critics, normal) = content["summary"][0], content["summary"][-1]
    assert abs(critics["baseline"][0]["mean"]) < 0.01 and len(critics["additivity"]) == 1
    assert normal["passes"] == {"baseline": "hit", "processing": "hit", "additivity": "hit"}
    assert "normal laws" in fragments_consistency.self_consistency(content)
    monkeypatch.setattr(masked_images, "load", None)  # nothing is run again
    assert mi_self_consistency.run("smoke", tmp_path)["rows"] == content["rows"]
    assert json.loads(path.read_text())["summary"] == content["summary"]
