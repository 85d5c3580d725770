import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.evaluate import suite
from dim_jax.evaluate.measures import mine
from dim_jax.nets import layers, pure

V1 = mine.PROTOCOLS["mine-v1"]


def short(**changes):
    return V1._replace(fit=V1.fit._replace(**changes))


class Mlp(nn.Module):
    """Two hidden layers on [x, y]."""

    width: int

    @nn.compact
    def __call__(self, x, y, *, train):
        del train
        x = jnp.broadcast_to(x[:, None], (*y.shape[:2], x.shape[-1]))
        x = jnp.concatenate([x, y], axis=-1)
        for _ in range(2):
            x = nn.relu(layers.Linear(self.width)(x))
        return layers.Linear(1)(x)[..., 0]


NET = pure.net(Mlp(256))


def correlated(count, correlation, seed, size=20):
    x, noise = np.random.default_rng(seed).normal(size=(2, count, size))
    y = correlation * x + np.sqrt(1 - correlation**2) * noise
    return x.astype(np.float32), y.astype(np.float32)


@pytest.mark.parametrize(
    ("correlation", "expected", "changes", "within"),
    [
        (0.42576, 2.0, dict(batch=128, steps=500), 0.25),
        pytest.param(0.57418, 4.0, dict(batch=512, steps=1500), 0.15, marks=pytest.mark.slow),
    ],
)
def test_information_of_correlated_gaussians(correlation, expected, changes, within):
    settings = short(learning_rate=1e-3, **changes)
    value = mine.information(
        NET, settings, correlated(50_000, correlation, 1), correlated(10_000, correlation, 2), 0
    )
    assert value == pytest.approx(expected, rel=within)
    assert value < expected + 0.05  # the noise of 10,000 fresh pairs


def test_pairs_that_do_not_belong_together_have_none():
    x, y = correlated(5000, 0.6, 1)
    settings = short(batch=512, steps=100, check_every=20)
    rolled = (x, np.roll(y, 1, axis=0))
    found = mine.information(NET, settings, rolled, correlated(5000, 0.0, 2), 0)
    assert found == pytest.approx(0.0, abs=0.02)


def test_the_critic_of_images():
    net = mine.image_critic(4, 6, (5, 3))
    assert net is mine.image_critic(4, 6, (5, 3))
    images = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), np.uint8)
    y = np.random.default_rng(1).normal(size=(2, 3, 7)).astype(np.float32)
    params, stats = net.init(jax.random.key(0), images, y)
    assert stats == {}
    shapes = {name: leaf["kernel"].shape for name, leaf in params.items() if "bias" not in name[4:]}
    assert shapes == {
        "conv0": (4, 4, 1, 4),
        "conv1": (4, 4, 4, 8),
        "conv2": (4, 4, 8, 16),
        "image": (3 * 3 * 16, 6),
        "linear0": (6 + 7, 5),
        "linear1": (5, 3),
        "score": (3, 1),
    }
    scores, _ = net.apply(params, {}, images, y, train=True)
    one, _ = net.apply(params, {}, images[1:], y[1:, 2:], train=True)
    assert scores.shape == (2, 3)
    assert float(one[0, 0]) == pytest.approx(float(scores[1, 2]), rel=1e-4)


def test_the_published_widths():
    assert (V1.features, V1.widths) == (256, (512, 128))


@pytest.fixture
def quick(monkeypatch):
    """The protocol of the default name, with few steps of a small critic."""
    settings = short(batch=128, steps=60, check_every=20, learning_rate=2e-3)
    small = settings._replace(width=4, features=32, widths=(64, 32))
    monkeypatch.setitem(mine.PROTOCOLS, "mine-v1", small)


@pytest.mark.slow
def test_rows_of_a_suite(quick, encoder, unlabelled, rng):
    evals = {"mine": {"name": "mine"}}
    suite.check(evals, unlabelled)
    found, _ = suite.run(evals, {"trained": encoder}, unlabelled, rng, lambda line: None)
    assert [(row["tap"], row["metric"], row["protocol"]) for row in found] == [
        ("y", "mine", "mine-v1")
    ]
    assert 0.3 < found[0]["value"] < np.log(len(unlabelled.splits["test"].images))
    again, _ = suite.run(evals, {"trained": encoder}, unlabelled, rng, lambda line: None)
    assert found == again


def test_a_representation_of_nothing_has_no_information(quick, digits, rng):
    blind = contracts.Frozen(lambda images: {"y": np.ones((len(images), 3), np.float32)})
    assert mine.evaluate(blind, digits.splits, rng)["y/mine"] == pytest.approx(0.0, abs=1e-3)


def test_mistakes(encoder, digits, rng):
    with pytest.raises(contracts.UserError, match="unknown tap 'z'"):
        mine.evaluate(encoder, digits.splits, rng, taps=("z",))
    with pytest.raises(contracts.UserError, match="MINE protocol 'mine-1': did you mean"):
        suite.check({"mine": {"name": "mine", "protocol": "mine-1"}})
