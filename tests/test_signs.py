"""Signs of learning in a dispatch, of a collapsed, a healthy and a new encoder."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dim_jax import contracts
from dim_jax.losses import spread
from dim_jax.report import collapse
from dim_jax.training import preprocessing, signs, train_step

STEPS = 60


def init(rng, batch):
    keys = jax.random.split(rng)
    shapes = [(batch["images"][0, 0].size, 32), (32, 24)]
    kernels = [jax.random.normal(key, s) / s[0] ** 0.5 for key, s in zip(keys, shapes, strict=True)]
    return {"encoder": kernels}, {"repel": jnp.zeros(())}


def loss(params, state, batch, rng, step):
    """Pulls two noisy views of an image together and, with a weight in the state, images apart."""
    images = batch["images"][0].reshape(batch["images"].shape[1], -1)
    noise = 0.2 * jax.random.normal(rng, (2, *images.shape))
    hidden = [jax.nn.relu((images + each) @ params["encoder"][0]) for each in noise]
    one, other = (each @ params["encoder"][1] for each in hidden)
    together = spread.alignment(one, other)
    total = together + state["repel"] * (spread.uniformity(one) + spread.uniformity(other)) / 2
    taps = {"fc": hidden[0], "y": one, "y_positive": other}
    return contracts.Step({"encoder": total}, {"together": together}, state, taps)


@pytest.fixture(scope="module")
def runs(digits_images):
    """Rows of metrics, one for each dispatch, of an encoder that collapses and a healthy one."""
    images = digits_images[:256]
    batch = contracts.Batch(
        images=jnp.asarray(images, jnp.float32)[None] / 127.5 - 1,
        labels=jnp.zeros(256, jnp.int32),
        index=jnp.arange(256),
    )
    method = contracts.Method(init, loss, lambda *_: {})
    initial = train_step.initial_state(method, lambda _: optax.adam(3e-3), 0, batch)
    mesh = train_step.mesh(jax.devices()[:1])
    prepared = preprocessing.Preprocessing((0.5,), (0.5,))
    dispatch = train_step.make_dispatch(prepared, 0, 64, 256, mesh)
    arrays = jnp.asarray(images), batch["labels"]
    program = dispatch.lower(initial, *arrays, count=STEPS).compile()
    rows = {}
    for name, repel in {"collapsed": 0.0, "healthy": 1.0}.items():
        state = jax.tree.map(jnp.copy, initial).replace(state={"repel": jnp.float32(repel)})
        rows[name] = []
        for dispatched in range(1, 6):
            state, metrics = program(state, *arrays)
            values = {key: np.asarray(each) for key, each in metrics.items()}
            rows[name].append({"step": dispatched * STEPS, **values})
    first = jax.jit(lambda taps: signs.of_features(signs.rows(taps)))
    taps = loss(initial.params, initial.state, batch, jax.random.key(0), 0).features
    rows["new"] = [{"step": 0, **first(taps)}] * 3
    return rows


@pytest.fixture(scope="module")
def digits_images():
    from sklearn import datasets

    return np.round(datasets.load_digits().images * (255 / 16)).astype(np.uint8)[..., None]


def test_a_dispatch_has_the_signs_of_its_last_step(runs):
    row = runs["healthy"][0]
    shapes = {key: values.shape for key, values in row.items() if key != "step"}
    assert shapes.pop("grad_norm/encoder") == shapes.pop("loss/encoder") == (STEPS,)
    assert shapes.pop("together") == (STEPS,)
    of_y = {"rank", "rank_share", "deviation", "uniformity", "alignment"}
    expected = {f"features/y/{name}" for name in of_y}
    expected |= {f"features/fc/{name}" for name in ("rank", "rank_share", "deviation")}
    assert shapes == dict.fromkeys(expected, (1,))
    assert all(np.isfinite(values).all() for values in row.values())
    assert row["features/y/alignment"][0] == pytest.approx(row["together"][-1], rel=1e-4)
    share = row["features/y/rank"] / 24
    np.testing.assert_allclose(row["features/y/rank_share"], share, rtol=1e-5)


def test_collapsed_healthy_and_new_encoders_are_told_apart(runs):
    def at_end(sign):
        names = ("collapsed", "new", "healthy")
        return [float(np.mean(runs[name][-1][f"features/y/{sign}"])) for name in names]

    collapsed, new, healthy = at_end("deviation")
    assert collapsed < 0.1 < new < healthy
    collapsed, new, healthy = at_end("uniformity")
    assert collapsed > -0.1 > new > healthy
    assert min(at_end("alignment")) == at_end("alignment")[0]
    said = {}
    for name, rows in runs.items():
        plain = [{key: float(np.mean(each)) for key, each in row.items()} for row in rows]
        plain = [{**row, "step": int(row["step"])} for row in plain]
        said[name] = collapse.at_end(plain)
    assert said["healthy"] == said["new"] == ""
    assert said["collapsed"].startswith("The encoder has collapsed: at y ")
