"""The benchmark of training steps runs, and PyTorch's steps are the same as ours."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import build
from dim_jax.nets import onednn
from experiments import bench_train_step, machine, train_step_cases

# PyTorch's compiler warns of its own deprecated parts.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("FutureWarning", "DeprecationWarning")
]
SMOKE = {case.name: case for case in train_step_cases.BUDGETS["smoke"]}


@pytest.mark.slow
def test_ours_and_the_trainer_have_rows(tmp_path, monkeypatch):
    """Of the case that compiles fastest: rows are made alike for all. The others are traced."""
    monkeypatch.setitem(train_step_cases.BUDGETS, "smoke", [SMOKE["supervised"]])
    monkeypatch.setattr(bench_train_step, "_theirs", lambda case: {})
    # At 2048 the products take longer than all steps.
    monkeypatch.setattr(bench_train_step, "CEILING", 128)
    bench_train_step.run("smoke", tmp_path)
    content = json.loads((tmp_path / "bench_train_step_smoke.json").read_text())
    rows = {(row["case"], row["step"], row["dtype"]): row for row in content["rows"]}
    for dtype in ("float32", "bfloat16"):
        assert rows["supervised", "dim_jax", dtype]["images_per_second"] > 0
        assert rows["supervised", "dim_jax", dtype]["fraction_of_matmul"] > 0
        assert rows["supervised", "trainer", dtype]["trainer_over_bare"] > 0
    assert rows["supervised", "dim_jax", "float32"]["share_of_signs"] < 1
    for name in SMOKE.keys() - {"supervised"}:
        assert bench_train_step.Ours(SMOKE[name], "bfloat16").gflop() > 0
    assert content["device"] and content["versions"]["jax"] and content["units"]
    (tmp_path / "bench_train_step_smoke.json").unlink()
    monkeypatch.setattr(bench_train_step, "compare", lambda case: [])
    bench_train_step.run("smoke", tmp_path, only="supervised")
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_pytorchs_step_has_a_row_beside_ours():
    pytest.importorskip("torch", reason="PyTorch is not installed: extra `bench`")
    rows = bench_train_step.compare(SMOKE["amdim"])
    ours = [row for row in rows if row["step"] == "dim_jax"]
    assert [row["over_pytorch_same_dtype"] > 0 for row in ours] == [True, True]


def test_the_flop_are_those_of_the_layers(monkeypatch):
    """The convolutions' alone, counted by hand, are most of a step with a tiny critic."""
    monkeypatch.setattr(onednn, "suits", lambda operations, *dtype: operations >= onednn._LEAST)
    case = train_step_cases.local_infomax("x", train_step_cases.dcgan(64, 8), 32, 8, 8, 1)
    forward = 2 * 8 * (256 * 48 * 64 + 64 * 1024 * 128 + 16 * 2048 * 256) / 1e9
    first = 2 * 8 * 256 * 48 * 64 / 1e9  # whose inputs need no gradient
    counted = bench_train_step.Ours(case, "float32").gflop()
    assert 1 <= counted / (3 * forward - first) < 1.35


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("avx512f avx512_bf16 amx_tile amx_bf16", "cpu_amx"),
        ("avx512f avx512_bf16", "cpu_avx512_bf16"),
        ("avx2", "cpu_some_cpu_3_00ghz"),
    ],
)
def test_a_machine_is_of_the_kind_of_its_bfloat16_instructions(flags, name):
    cpuinfo = f"processor\t: 0\nmodel name\t: Some CPU @ 3.00GHz\nflags\t\t: {flags}\n"
    assert machine._of_cpu(cpuinfo).name == name
    assert machine._of_cpu("").name.startswith("cpu_")  # of another system


# Without randomness: no dropout, no noise on codes, no random locations of antecedents.
CALM = {
    "dcgan32": {},
    "amdim": dict(terms=("1_to_5", "1_to_7")),
    "supervised": dict(classifier=dict(SMOKE["supervised"].method["classifier"], dropout=0.0)),
    "vae": {},
}


@pytest.mark.parametrize(
    "name",
    [
        "amdim",
        "vae",
        *(pytest.param(each, marks=pytest.mark.slow) for each in SMOKE if each[0] in "ds"),
    ],
)
def test_pytorchs_parameters_loss_and_gradients_are_ours(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: extra `bench`")
    from experiments import torch_steps

    spec, views = SMOKE[name].method | CALM[name], SMOKE[name].views
    method, model = build.make("method", spec), torch_steps.model(spec)
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (views, 6, 32, 32, 3)).astype(np.float32)
    labels = random.integers(0, 10, 6).astype(np.int32)
    batch = {"images": jnp.asarray(images), "labels": labels, "index": jnp.arange(6)}
    params, state = jax.jit(method.init)(jax.random.key(0), batch)
    # Layers that begin at zero take part, and the noise on codes has a deviation of exp(-30).
    params = jax.tree.map(lambda leaf: leaf + random.normal(0, 0.05, leaf.shape), params)
    if "deviation" in params["encoder"]:
        params["encoder"]["deviation"]["linear"]["kernel"] *= 0
        params["encoder"]["deviation"]["linear"]["bias"] -= 30

    @jax.jit
    def ours(params):
        step = method.loss(params, state, batch, jax.random.key(0), jnp.int32(0))
        return step.losses["encoder"]

    wanted, slopes = jax.value_and_grad(ours)(params)
    named = {name: torch.tensor(leaf) for name, leaf in _named_as_there(params, model).items()}
    assert {name: leaf.shape for name, leaf in model.named_parameters()} == {
        name: leaf.shape for name, leaf in named.items()
    }
    model.load_state_dict(named, strict=False)
    given = [torch.tensor(view).permute(0, 3, 1, 2) for view in images]
    loss = model(*given, torch.tensor(labels).long())
    loss.backward()
    constant = np.log(6) if name == "dcgan32" else 0  # the bound is in nats, the loss a softmax
    np.testing.assert_allclose(float(loss.detach()), wanted + constant, rtol=1e-4)
    slopes = _named_as_there(slopes, model)
    largest = max(np.abs(slope).max() for slope in slopes.values())
    for name, parameter in model.named_parameters():
        # A bias before batch norm has a gradient of 0, and of it the rounding alone.
        np.testing.assert_allclose(
            parameter.grad.numpy(), slopes[name], 1e-3, 3e-4 * largest, err_msg=name
        )


def _named_as_there(tree, model) -> dict[str, np.ndarray]:
    """Our parameters by the names and in the axes of PyTorch's."""
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    named = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree["encoder"]):
        *modules, last = (entry.key for entry in path)
        name = ".".join([*modules, "bias" if last == "bias" else "weight"])
        leaf = np.asarray(leaf, np.float32)
        if last == "kernel":
            transposed = "decoder" in modules and modules[-1].startswith("conv")
            axes = (2, 3, 0, 1) if transposed else (3, 2, 0, 1)
            leaf = leaf.transpose(axes if leaf.ndim == 4 else (1, 0))
        named[name] = leaf.reshape(shapes.get(name, leaf.shape))
    return named
