"""Time and memory of the bounds: dense, from the matrix of scores, against block by block.

    python -m experiments.bench_bounds --budget=cpu           or accelerator, or smoke

Measured is one compiled program of value and gradient, of both feature matrices and of the MLP's
parameters. What is compared is compiled ahead and run in turns in one process; dense runs where
its program fits `DENSE_SHARE` of the device's memory, and is otherwise only compiled.
"""

import dataclasses
import functools
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp

import dim_jax
from dim_jax import bounds, run_metadata
from dim_jax.nets import critics
from experiments import table, table_text

BOUNDS = ("infonce", "donsker_varadhan", "jensen_shannon")
DENSE_SHARE = 0.75
MIB = 2**20
UNITS = {
    "*_seconds": "seconds, median over the rounds",
    "*_temp_mib": "MiB of temporary memory of the compiled program, without inputs and outputs",
    "scores_mib": "MiB of the score matrix in float32",
    "blockwise_over_dense": "blockwise_seconds / dense_seconds",
    "matmul_seconds": "anchors @ candidates.T, stored in float32",
    "three_matmuls_seconds": "the same and both products of the backward, in the features' dtype",
    "*_fraction_of_matmul": "three_matmuls_seconds / seconds of value and gradient",
    "*_difference": "norm(blockwise - dense) / norm(dense); the largest of the gradients",
}
COLUMNS = {
    **dict.fromkeys(("critic", "dtype", "batch", "bound", "block"), ""),
    **dict.fromkeys(("dense_seconds", "blockwise_seconds"), ".4f"),
    "blockwise_over_dense": ".2f",
    **dict.fromkeys(("dense_fraction_of_matmul", "blockwise_fraction_of_matmul"), ".2f"),
    **dict.fromkeys(("dense_temp_mib", "blockwise_temp_mib"), ",.1f"),
    "gradient_difference": ".0e",
}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Bounds, dense and blockwise, and plain matmuls if "dot"; no warm-up if rounds <= 2 (slow)."""

    critic: Literal["dot", "concat"]
    batch: int
    blocks: tuple[int, ...]
    rounds: int
    dtype: str = "float32"
    features: int = 128
    widths: tuple[int, ...] = ()  # of concat
    dense: Literal["run", "compile", "no"] = "run"
    bounds: tuple[str, ...] = BOUNDS


def _dots(rounds: dict, largest: str, sweep=(1024, 2048, 4096, 8192)) -> Iterator[Comparison]:
    """Dot products of each batch size, with its rounds; `largest` is its `dense`."""
    for dtype in ("float32", "bfloat16"):
        for n, count in rounds.items():
            dense = largest if n == max(rounds) else "run"
            yield Comparison("dot", n, tuple(b for b in sweep if b <= n), count, dtype, dense=dense)


_mlp = functools.partial(Comparison, "concat", blocks=(128,), features=64, widths=(512, 512))
BUDGETS = {
    "smoke": (
        Comparison("dot", 64, (32,), 3),
        Comparison("dot", 128, (32,), 3, "bfloat16"),
        Comparison("dot", 256, (64,), 1, dense="compile", bounds=("infonce",)),
        Comparison("concat", 64, (16,), 1, features=8, widths=(16, 16)),
    ),
    "cpu": (
        *_dots({1024: 9, 2048: 7, 4096: 5, 8192: 5, 65536: 1}, "compile", (1024,)),
        *(_mlp(n, rounds=rounds) for n, rounds in ((256, 5), (512, 3))),
        _mlp(1024, rounds=1, bounds=("infonce",)),
        _mlp(4096, rounds=1, dense="compile", bounds=("infonce",)),
    ),
    "accelerator": (
        *_dots({1024: 20, 4096: 20, 16384: 10, 65536: 5, 262144: 3}, "no"),
        *(_mlp(n, rounds=rounds) for n, rounds in ((256, 20), (512, 20), (1024, 10), (4096, 5))),
    ),
}


def run(budget: str, results: pathlib.Path = table.RESULTS) -> None:
    """Runs every comparison of the budget, writes bench_bounds_<budget>.json, prints the table."""
    rows = []
    for comparison in BUDGETS[budget]:
        print(f"== {comparison}", flush=True)
        rows.extend(compare(comparison))
    content = {
        "experiment": f"bench_bounds_{budget}",
        **{"device": run_metadata.device(), "cores": os.cpu_count()},
        "device_memory_mib": round(_device_memory() / MIB),
        "dense_share_of_device_memory": DENSE_SHARE,
        "commit": run_metadata.commit(),
        "versions": {"python": platform.python_version(), "dim_jax": dim_jax.__version__}
        | {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "numpy")},
        "units": UNITS,
        "rows": rows,
    }
    results.mkdir(exist_ok=True)
    (results / f"bench_bounds_{budget}.json").write_text(json.dumps(content, indent=1) + "\n")
    table_text.benchmark(content, COLUMNS)


def _device_memory() -> int:
    found = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    return found or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def compare(comparison: Comparison) -> list[dict]:
    """One row per bound and block: times, memory, and how far blockwise is from dense."""
    inputs = _inputs(comparison)
    programs = {key: jax.jit(f).lower(*inputs).compile() for key, f in _functions(comparison)}
    memory = {key: program.memory_analysis() for key, program in programs.items()}
    limit = DENSE_SHARE * _device_memory() if comparison.dense == "run" else 0
    for key, found in memory.items():
        needed = found.temp_size_in_bytes + found.output_size_in_bytes
        if key[1] not in comparison.blocks and needed > limit:
            del programs[key]
    seconds, outputs = _in_turns(programs, inputs, comparison.rounds)
    mib = {key: found.temp_size_in_bytes / MIB for key, found in memory.items()}
    return [
        _row(comparison, bound, block, seconds, mib)
        | _differences(outputs[bound, block], outputs.get((bound, None)))
        for bound, block in memory
        if block in comparison.blocks
    ]


def _inputs(comparison: Comparison) -> tuple[Any, jax.Array, jax.Array]:
    """Parameters, anchors and candidates; dot products have deviation 1, those of pairs mean 8."""
    data_key, key = jax.random.split(jax.random.key(0))
    normal = jax.random.normal(data_key, (2, comparison.batch, comparison.features))
    anchors, noise = comparison.features**-0.25 * normal
    candidates = (anchors + noise) / 2**0.5
    params = {}
    if comparison.critic == "concat":
        params, _ = critics.concat(widths=comparison.widths).init(key, anchors[:1], candidates[:1])
    return params, anchors.astype(comparison.dtype), candidates.astype(comparison.dtype)


def _functions(comparison: Comparison) -> Iterator[tuple[tuple[str, int | None], Callable]]:
    """(bound, block) -> value and gradient, block None: dense; ("matmuls", what they are of)."""
    if comparison.dense == "run" and comparison.critic == "dot":
        yield ("matmuls", "scores"), lambda _, *features: bounds.dot(*features)
        yield ("matmuls", "gradient"), _three_matmuls
    for bound in comparison.bounds:
        for block in (None, *comparison.blocks):
            if block is not None or comparison.dense != "no":
                yield (bound, block), _value_and_gradient(comparison, bound, block)


def _value_and_gradient(comparison: Comparison, bound: str, block: int | None) -> Callable:
    network = critics.concat(widths=comparison.widths)

    def objective(params, anchors, candidates):
        def concat(a, c):
            return network.all_pairs(params, {}, a, c, train=True)[0]

        critic = bounds.dot if comparison.critic == "dot" else concat
        if block is None:
            return getattr(bounds, bound)(critic(anchors, candidates))
        return getattr(bounds.blockwise, bound)(anchors, candidates, critic, block=block)

    return jax.value_and_grad(objective, argnums=(0, 1, 2) if comparison.widths else (1, 2))


def _three_matmuls(_, anchors: jax.Array, candidates: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The scores, stored by the barrier, and two products with a matrix of their size."""
    scores = jax.lax.optimization_barrier(bounds.dot(anchors, candidates)).astype(anchors.dtype)
    return bounds.dot(scores, candidates.T), bounds.dot(scores.T, anchors.T)


def _in_turns(programs: dict, inputs: tuple, rounds: int) -> tuple[dict, dict]:
    """Median seconds and outputs of each; in turns, so that a slow minute slows all of them."""
    seconds, outputs, warm_up = {key: [] for key in programs}, {}, int(rounds > 2)
    for turn in range(rounds + warm_up):
        for key, program in programs.items():
            start = time.perf_counter()
            found = jax.block_until_ready(program(*inputs))
            if turn >= warm_up:
                seconds[key].append(time.perf_counter() - start)
            if key[0] != "matmuls":
                outputs[key] = found
            del found
    return {key: statistics.median(times) for key, times in seconds.items()}, outputs


def _row(comparison: Comparison, bound: str, block: int, seconds: dict, mib: dict) -> dict:
    dense, blockwise = seconds.get((bound, None)), seconds[bound, block]
    matmuls = seconds.get(("matmuls", "gradient"))
    given = ("critic", "widths", "features", "dtype", "batch", "rounds")
    return {
        **{key: getattr(comparison, key) for key in given},
        **{"bound": bound, "block": block, "dense_seconds": dense, "blockwise_seconds": blockwise},
        "blockwise_over_dense": dense and blockwise / dense,  # None without dense
        "matmul_seconds": seconds.get(("matmuls", "scores")),
        "three_matmuls_seconds": matmuls,
        "dense_fraction_of_matmul": matmuls and dense and matmuls / dense,
        "blockwise_fraction_of_matmul": matmuls and matmuls / blockwise,
        "scores_mib": comparison.batch**2 * 4 / MIB,
        "dense_temp_mib": mib.get((bound, None)),
        "blockwise_temp_mib": mib[bound, block],
    }


def _differences(blockwise: tuple, dense: tuple | None) -> dict[str, float | None]:
    if dense is None:
        return {"value_difference": None, "gradient_difference": None}
    gradient = max(map(_relative, blockwise[1], dense[1]))
    return {"value_difference": _relative(blockwise[0], dense[0]), "gradient_difference": gradient}


def _relative(*trees: Any) -> float:
    """Norm of the difference of two trees / norm of the second, in float32."""
    flat = [[jnp.ravel(x).astype(jnp.float32) for x in jax.tree.leaves(tree)] for tree in trees]
    one, reference = (jnp.concatenate(leaves) for leaves in flat)
    return float(jnp.linalg.norm(one - reference) / jnp.linalg.norm(reference))


if __name__ == "__main__":
    run(table.budget(BUDGETS))
