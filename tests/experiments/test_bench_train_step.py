"""The benchmark of training steps runs, and PyTorch's step is the same objective as ours."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import bounds
from experiments import bench_train_step

# PyTorch's compiler warns of its own deprecated parts.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("FutureWarning", "DeprecationWarning")
]


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    bench_train_step.run("smoke", results)
    return json.loads((results / "bench_train_step_smoke.json").read_text())


@pytest.mark.slow
def test_ours_and_the_trainer_have_rows(content):
    rows = {(row["step"], row["dtype"]): row for row in content["rows"]}
    for dtype in ("float32", "bfloat16"):
        assert rows["dim_jax", dtype]["images_per_second"] > 0
        assert rows["dim_jax", dtype]["fraction_of_matmul"] > 0
        assert rows["trainer", dtype]["trainer_over_bare"] > 0
    assert content["device"] and content["versions"]["jax"] and content["units"]


def test_the_flop_are_those_of_the_layers():
    """The convolutions' alone, counted by hand, are most of a step with a tiny critic."""
    case = bench_train_step.Case("x", bench_train_step._dcgan(64, 8), 32, 8, batch=8, steps=1)
    forward = 2 * 8 * (256 * 48 * 64 + 64 * 1024 * 128 + 16 * 2048 * 256) / 1e9
    first = 2 * 8 * 256 * 48 * 64 / 1e9  # whose inputs need no gradient
    counted = bench_train_step.Ours(case, "float32").gflop()
    assert 1 <= counted / (3 * forward - first) < 1.35


def test_pytorchs_loss_is_ours():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: extra `bench`")
    from experiments import torch_steps

    model = torch_steps.local_infomax(bench_train_step._dcgan(4, 16), 16)
    images = torch.rand(6, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        local, y = model.encoder(images)
        anchors = model.anchor(y)
        candidates = model.candidate(local.flatten(0, 1)).view(6, 64, 16)
        loss = model(images)
    scores = bounds.dot(jnp.asarray(anchors.numpy()), jnp.asarray(candidates.numpy()))
    ours = np.log(6) - jax.jit(bounds.infonce)(scores)  # the bound is in nats, the loss a softmax
    np.testing.assert_allclose(ours, float(loss), rtol=1e-4)
