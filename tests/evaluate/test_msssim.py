import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts, data
from dim_jax.evaluate import fit, suite
from dim_jax.evaluate.measures import msssim, ssim

TINY = msssim.Protocol(
    base=16,
    widths=(8, 8, 8),
    standardise=True,
    learning_rate=1e-2,
    betas=(0.9, 0.999),
    milestones=None,
    batch=64,
    epochs=1,
    min_steps=60,
)


@pytest.fixture(scope="module")
def enlarged():
    """The digits at 16x16, 1,438 to train on and 359 to test on."""
    return data.load("digits", image_size=16)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(msssim.PROTOCOLS, "tiny", TINY)


def projection(dim: int) -> contracts.Frozen:
    """A random linear map of the pixels."""
    directions = jax.random.normal(jax.random.key(1), (256, dim)) / 16

    def represent(images):
        return {"y": images.reshape(len(images), -1) / 255.0 @ directions}

    return contracts.Frozen(jax.jit(represent))


def test_more_dimensions_keep_more_of_an_image(enlarged, rng):
    found = [
        msssim.evaluate(projection(dim), enlarged.splits, rng, protocol="tiny") for dim in (8, 512)
    ]
    few, many = found
    assert many["y/reconstruction_error"] < 0.6 * few["y/reconstruction_error"]
    assert many["y/ms_ssim"] > few["y/ms_ssim"] + 0.1
    assert many["y/ssim_dim_compat"] > few["y/ssim_dim_compat"]
    variance = np.var(enlarged.splits["test"].images / 127.5, axis=0).mean()
    assert few["y/reconstruction_error"] < variance  # better than the mean image


def test_a_decoder_of_other_images_gives_the_mean_image(enlarged, rng):
    """The floor: no better than the mean of the training images, which a closed form has."""
    splits = enlarged.splits
    assert "reconstructions" not in (
        floor := msssim.evaluate(projection(512), splits, rng, protocol="tiny", permuted=True)
    )
    kept = msssim.evaluate(projection(512), splits, rng, protocol="tiny")
    images = {name: splits[name].images / 127.5 - 1 for name in ("train", "test")}
    of_mean = np.mean((images["test"] - images["train"].mean(axis=0)) ** 2)
    assert 0.9 * of_mean < floor["y/reconstruction_error"] < 1.5 * of_mean
    assert kept["y/reconstruction_error"] < 0.5 * floor["y/reconstruction_error"]
    assert kept["y/ms_ssim"] > floor["y/ms_ssim"] + 0.2


def test_suite_runs_it_and_keeps_the_figures_apart(enlarged, rng, monkeypatch):
    monkeypatch.setitem(msssim.PROTOCOLS, "tiny", TINY._replace(min_steps=5))
    evals = {"decoder": {"name": "msssim", "protocol": "tiny"}}
    suite.check(evals, enlarged)
    both = {"trained": projection(8), "untrained": projection(8)}
    lines = []
    rows, figures = suite.run(evals, both, enlarged, rng, lines.append)
    metrics = {"ms_ssim", "ms_ssim_scales", "ssim_dim_compat", "reconstruction_error"}
    found = {name: {} for name in both}
    for row in rows:
        assert (row["tap"], row["protocol"], row["dim"]) == ("y", "tiny", 8)
        found[row["representation"]][row["metric"]] = row["value"]
    assert set(found["trained"]) == metrics and found["trained"]["ms_ssim_scales"] == 1
    assert found["trained"] == found["untrained"]  # everything random comes from rng
    assert [figure.file for figure in figures] == [
        "reconstructions.png",
        "untrained_reconstructions.png",
    ]
    assert figures[1].title == "Reconstructions: untrained"
    assert figures[0].image.dtype == np.uint8 and figures[0].image.shape[2] == 3
    assert len(lines) == 2
    other = msssim.evaluate(both["trained"], enlarged.splits, jax.random.key(1), protocol="tiny")
    assert other["y/reconstruction_error"] != found["trained"]["reconstruction_error"]


def test_test_images_do_not_train_the_decoder_and_order_is_kept(enlarged, rng, monkeypatch):
    """With a decoder that was never trained, the numbers are those of its plain output."""
    monkeypatch.setattr(fit, "one_pass", lambda fits, *_, **__: fits)
    monkeypatch.setattr(msssim, "_BATCH", 100)  # 359 test images: the last batch is filled up
    frozen, splits = projection(8), enlarged.splits
    found = msssim.evaluate(frozen, splits, rng, protocol="tiny")
    rows = msssim._features(frozen, splits, "y", True)
    fits = msssim.train(TINY, rows["train"], splits["train"].images, rng)
    params, stats = jax.tree.map(lambda leaf: leaf[0], (fits.params, fits.state))
    net = msssim._decoder(TINY, (16, 16, 1))
    decoded, _ = net.apply(params, stats, rows["test"], train=False)
    images = jnp.asarray(splits["test"].images / 127.5 - 1, jnp.float32)
    error = float(jnp.mean((decoded - images) ** 2))
    assert found["y/reconstruction_error"] == pytest.approx(error, rel=1e-5)
    compat = float(jnp.mean(ssim.ssim_dim_compat(decoded, images)))
    assert found["y/ssim_dim_compat"] == pytest.approx(compat, rel=1e-4)


def test_mistakes(enlarged, rng):
    small = data.load("digits")
    evals = {"decoder": {"name": "msssim"}}
    suite.check(evals)
    with pytest.raises(contracts.UserError, match=r"8x8 .*need 11x11.*data.image_size"):
        suite.check(evals, small)
    with pytest.raises(contracts.UserError, match="unknown MS-SSIM protocol 'mlp-v1'"):
        suite.check({"decoder": {"name": "msssim", "protocol": "mlp-v1"}})
    with pytest.raises(contracts.UserError, match="unknown tap 'z'"):
        msssim.evaluate(projection(8), enlarged.splits, rng, taps=("z",))


def test_the_paper_protocol_is_the_published_one():
    paper = msssim.PROTOCOLS["msssim-paper-v1"]
    assert (paper.base, paper.widths, paper.batch) == (512, (256, 128, 64), 64)
    assert (paper.learning_rate, paper.betas, paper.milestones) == (1e-4, (0.5, 0.999), (50, 100))
    assert (paper.epochs, paper.min_steps, paper.standardise) == (500, 0, False)
