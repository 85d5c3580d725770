"""Images of the same codes at several steps, as files and as one figure."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from dim_jax import contracts
from dim_jax.data import dataset
from dim_jax.evaluate import samples_over_training


def frozen(shape, draw=jax.random.normal) -> contracts.Frozen:
    """Images of one value, the product of parameter and code."""

    def decode(params, state, codes):
        return jnp.broadcast_to((params * codes)[:, None, None, : shape[-1]], (len(codes), *shape))

    generative = contracts.Generative(decode, draw=draw, width=2)
    method = contracts.Method(None, None, None, generative)
    return contracts.Frozen(None, method, 1.0, {}, lambda images: images / 127.5 - 1)


def over_training(folder, shape=(4, 6, 1), seed=0, **changes):
    split = dataset.Split(np.zeros((9, *shape), np.uint8), np.zeros(9, np.int32))
    return samples_over_training.SamplesOverTraining(folder, frozen(shape, **changes), split, seed)


def state(factor):
    return types.SimpleNamespace(params=jnp.float32(factor), state={})


def test_files_follow_from_seed_and_parameters(tmp_path):
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        watched = over_training(tmp_path / name, seed=seed)
        watched.write(1000, state(0.5))
        watched.write(1000, state(0.5))
    files = [tmp_path / name / "step_00001000.png" for name in ("one", "again", "other")]
    assert [path.name for path in files[0].parent.iterdir()] == [files[0].name]
    one, again, other = (path.read_bytes() for path in files)
    assert one == again != other
    pixels = np.asarray(Image.open(files[0]))
    assert pixels.shape == (4 * 4, 10 * 6, 3)
    tiles = pixels[::4, ::6, 0].ravel()  # images of one value, in the order of the codes
    rng = jax.random.fold_in(jax.random.key(0), samples_over_training._STREAM)
    values = 0.5 * np.asarray(jax.random.normal(rng, (40, 2)))[:, 0]
    np.testing.assert_allclose(tiles, np.clip((values + 1) * 127.5, 0, 255), atol=1)


def test_the_figure_leaves_out_what_is_missing_or_damaged(tmp_path, monkeypatch):
    shown = {}
    monkeypatch.setattr(
        samples_over_training.drawing, "rows_of_images", lambda rows: shown.update(rows)
    )
    watched, steps = over_training(tmp_path / "samples"), [*range(10, 130, 10)]
    assert watched.figures(steps) == (
        [],
        ["Samples over training: no readable file of step 10, 20, 30, 40, 50, ..., left out."],
    )
    for step in steps:
        watched.write(step, state(step / 100))
    (tmp_path / "samples" / "step_00000010.png").unlink()
    damaged = tmp_path / "samples" / "step_00000120.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    Image.new("RGB", (7, 7)).save(tmp_path / "samples" / "step_00000030.png")
    [figure], [note] = watched.figures(steps)
    assert "of step 10, 30, 120, left out" in note
    assert figure.file == "samples_over_training.png"
    assert len(shown) == 8 and {"step 20", "step 110"} <= shown.keys()
    first = shown["step 20"]
    assert first.shape == (10, 4, 6, 3) and np.ptp(first, axis=(1, 2, 3)).max() == 0


def test_points_are_kept_as_numbers(tmp_path):
    watched = over_training(tmp_path / "samples", (1, 1, 2))
    watched.write(5, state(2.0))
    points = np.load(tmp_path / "samples" / "step_00000005.npy")
    assert points.shape == (500, 2) and points.std() == pytest.approx(2, rel=0.1)
    [figure], [note] = watched.figures([5, 7])
    assert figure.image.ndim == 3 and "step 7," in note


def test_a_method_without_a_prior_leaves_no_trace(tmp_path):
    watched = over_training(tmp_path / "samples", draw=None)
    watched.write(5, state(2.0))
    assert watched.figures([5]) == ([], []) and not (tmp_path / "samples").exists()


def test_a_failed_write_is_one_sentence(tmp_path):
    (tmp_path / "samples").write_text("in the way")
    with pytest.raises(contracts.UserError, match=r"the samples could not be .* checkpoint"):
        over_training(tmp_path / "samples").write(5, state(2.0))
