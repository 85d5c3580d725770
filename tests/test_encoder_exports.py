"""Exported encoders without dim_jax, in another process: JAX, onnxruntime, or NumPy alone."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import build
from dim_jax import encoder as encoder_module
from dim_jax.encoder import command
from dim_jax.rundir import exported_encoder

SPECS = {
    "dcgan32": dict(width=4, hidden=8, features=5),
    "alexnet64": dict(width=4, hidden=8, features=5),
    "amdim32": dict(ndf=4, n_rkhs=16, n_depth=1, norm="none"),
}
RANGE = dict(low=[0.0, 5.0, 0.0], high=[60000.0, 50000.0, 9000.0], clip=True)
# Programs of a process in which dim_jax cannot be imported: FORMAT FILE -> features of images.npy.
START = """
import sys
sys.modules["dim_jax"] = None
import numpy as np
images = np.load("images.npy")
"""
STABLEHLO = """
import jax
program = jax.export.deserialize(bytearray(open(sys.argv[1], "rb").read()))
np.savez(sys.argv[2], **program.call(images))
"""
ONNX = """
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
assert [each.name for each in session.get_inputs()] == ["images"]
names = [each.name for each in session.get_outputs()]
np.savez(sys.argv[2], **dict(zip(names, session.run(None, {"images": images}))))
"""
# A forward pass of dcgan32 by its arrays alone.
SAFETENSORS = """
import json
from safetensors import safe_open
with safe_open(sys.argv[1], "np") as file:
    card = json.loads(file.metadata()["card"])
    arrays = {name: file.get_tensor(name) for name in file.keys()}
low, high = (np.float32(card["pixel_range"][key]) for key in ("low", "high"))
x = ((images - low) / (high - low)).clip(0, 1)
x = (x - np.float32(card["mean"])) / np.float32(card["std"])

def norm(x, name):
    mean, var = (arrays[f"state/{name}/{key}"] for key in ("mean", "var"))
    scale, bias = (arrays[f"params/{name}/{key}"] for key in ("scale", "bias"))
    return np.maximum((x - mean) / np.sqrt(var + 1e-5) * scale + bias, 0)

for layer in range(3):
    kernel = arrays[f"params/conv{layer}/kernel"]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), (1, 2))[:, ::2, ::2]
    x = norm(np.einsum("nhwckl,klcd->nhwd", windows, kernel), f"conv{layer}_norm")
conv = x
fc = norm(x.reshape(len(x), -1) @ arrays["params/fc0/kernel"], "fc0_norm")
y = fc @ arrays["params/y/kernel"] + arrays["params/y/bias"]
np.savez(sys.argv[2], conv=conv, fc=fc, y=y)
"""


def _export(folder, name: str, **changes):
    """The folder of an encoder whose statistics are not the initial ones."""
    side = int(name[-2:])
    spec = {"name": name, **SPECS[name]}
    params, stats = jax.jit(build.make("encoder", spec).init)(
        jax.random.key(0), jnp.zeros((2, side, side, 3))
    )
    # Layers that start as zeros too have numbers.
    params, stats = jax.tree.map(
        lambda leaf: leaf + jnp.linspace(-0.1, 0.1, leaf.size).reshape(leaf.shape), (params, stats)
    )
    shapes = encoder_module.tap_shapes(spec, (side, side, 3))
    card = dict(
        **dict(format=1, encoder=spec, image_shape=[side, side, 3], mean=[0.4] * 3, std=[0.3] * 3),
        taps={tap: shapes[tap] for tap in ("conv", "fc", "y")},
    )
    exported_encoder.write(folder, params, stats, card | changes)
    return folder


def _elsewhere(program: str, file, folder) -> dict[str, np.ndarray]:
    environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    finished = subprocess.run(
        [sys.executable, "-c", START + program, str(file), "features.npz"],
        **dict(cwd=folder, env=environment | {"JAX_PLATFORMS": "cpu"}),
        **dict(capture_output=True, text=True),
    )
    assert finished.returncode == 0, finished.stderr
    with np.load(folder / "features.npz") as arrays:
        return dict(arrays)


def _check(folder, form: str, program: str, name: str, tolerance: float, **changes) -> None:
    run = _export(folder / "encoder", name, **changes)
    encoder = encoder_module.load_encoder(run)
    out = folder / f"encoder.{form}"
    assert command.main(["--run", str(run), "--export", form, "--out", str(out)]) == 0
    dtype = np.dtype(encoder.card.get("dtype", "uint8"))
    images = np.random.default_rng(0).integers(
        0, np.iinfo(dtype).max, (5, *encoder.card["image_shape"]), dtype, endpoint=True
    )
    np.save(folder / "images.npy", images)
    found, wanted = _elsewhere(program, out, folder), encoder.encode(images)
    assert found.keys() == wanted.keys()
    for tap, features in wanted.items():
        scale = max(1.0, float(jnp.abs(features).max()))
        np.testing.assert_allclose(found[tap] / scale, features / scale, rtol=0, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_stablehlo_needs_jax_alone(name, tmp_path):
    _check(tmp_path, "stablehlo", STABLEHLO, name, 1e-5)
    card = json.loads((tmp_path / "encoder.stablehlo.json").read_text())
    assert card["encoder"]["name"] == name


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_onnx_needs_onnxruntime_alone(name, tmp_path):
    for package in ("jax2onnx", "onnx", "onnxruntime"):
        pytest.importorskip(package, reason="the extra onnx")
    _check(tmp_path, "onnx", ONNX, name, 1e-4)


def test_safetensors_need_numpy_alone(tmp_path):
    pytest.importorskip("safetensors", reason="the extra safetensors")
    raw = dict(dtype="uint16", pixel_range=RANGE)
    _check(tmp_path, "safetensors", SAFETENSORS, "dcgan32", 1e-5, **raw)
    read = encoder_module.load_encoder(tmp_path / "encoder.safetensors")
    images = np.load(tmp_path / "images.npy")
    assert read.encode(images)["y"].shape == (5, 5) and read.card["pixel_range"] == RANGE


def test_stablehlo_holds_no_kernel_of_this_machine(tmp_path):
    """Its calls are checks of the number of images; weights with a unit of raw pixels too."""
    run = _export(tmp_path / "encoder", "dcgan32", dtype="uint16", pixel_range=RANGE)
    out = tmp_path / "encoder.stablehlo"
    assert command.main(["--run", str(run), "--export", "stablehlo", "--out", str(out)]) == 0
    program = jax.export.deserialize(bytearray(out.read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")
    calls = [line for line in program.mlir_module().splitlines() if "custom_call" in line]
    assert all("@shape_assertion" in line for line in calls), calls
    assert str(program.in_avals[0]).startswith("uint16[n,32,32,3]")
