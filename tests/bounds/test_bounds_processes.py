"""Two processes with four devices each equal one process, through shard_map and global-view jit."""

import json
import os
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dim_jax import bounds

PROGRAM = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from dim_jax import bounds

port, process = int(sys.argv[1]), int(sys.argv[2])
jax.config.update("jax_enable_x64", True)
jax.distributed.initialize(f"localhost:{port}", 2, process)
assert jax.device_count() == 8 and jax.local_device_count() == 4
mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
split = NamedSharding(mesh, P("data"))

def features():
    rng = np.random.default_rng(0)
    return rng.standard_normal((16, 5)), rng.standard_normal((16, 3, 5))

def share(whole):
    half = len(whole) // 2
    mine = whole[process * half : (process + 1) * half]
    return jax.make_array_from_process_local_data(split, mine, whole.shape)

x, y = (share(part) for part in features())
results = {}
for name in ("infonce", "donsker_varadhan", "jensen_shannon", "symmetric_infonce"):
    bound = getattr(bounds, name)

    def one_device(x, y):
        x = lax.all_gather(x, "data", tiled=True)
        return bound(bounds.dot(x, y), axis_name="data", sharded="candidates")

    mapped = jax.shard_map(
        one_device, mesh=mesh, in_specs=(P("data"), P("data")), out_specs=P()
    )
    for form, f in (("shard_map", mapped), ("jit", lambda x, y: bound(bounds.dot(x, y)))):
        value, (of_x, of_y) = jax.jit(jax.value_and_grad(f, (0, 1)))(x, y)
        norms = jax.jit(lambda *g: [jnp.sum(p * jnp.cos(jnp.arange(p.size)).reshape(p.shape))
                                    for p in g])(of_x, of_y)
        results[f"{form} {name}"] = [float(value), *map(float, norms)]
if process == 0:
    print(json.dumps(results))
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def results():
    """Started once: what both processes computed together."""
    port = free_port()
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "4",
    }
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port), str(process)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for process in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=240) for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], outputs[0][1][-2000:]
    return json.loads(outputs[0][0].strip().splitlines()[-1])


@pytest.mark.parametrize("form", ["shard_map", "jit"])
@pytest.mark.parametrize(
    "name", ["infonce", "donsker_varadhan", "jensen_shannon", "symmetric_infonce"]
)
def test_two_processes_equal_one(results, form, name):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, y = jnp.asarray(rng.standard_normal((16, 5))), rng.standard_normal((16, 3, 5))
        f = jax.value_and_grad(lambda x, y: getattr(bounds, name)(bounds.dot(x, y)), (0, 1))
        value, slopes = f(x, jnp.asarray(y))
        checks = [np.sum(p * np.cos(np.arange(p.size)).reshape(p.shape)) for p in slopes]
    np.testing.assert_allclose(results[f"{form} {name}"], [value, *checks], rtol=1e-11)
