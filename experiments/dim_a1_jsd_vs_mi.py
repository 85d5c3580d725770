"""Does the Jensen-Shannon divergence rank dependence as mutual information does? Exact.

    python -m experiments.dim_a1_jsd_vs_mi

X uniform on n symbols, p(y | x) a row of softmax(dropout(uniform draws)); mutual information
KL(joint || product) and Jensen-Shannon divergence summed over the whole table in float64, no
sampling. Writes the rank correlations, the guaranteed part of the information
(`bounds.jsd_to_mi_lower_bound`) and a figure.

Source: Hjelm et al. 2019, App. A.1, Fig. 4. The scale of the draws and the dropout rate are not
printed; here each table draws both. Scales up to 5, 10, 20, 30 and 60 were tried: the lowest of
their five correlations are 0.998, 0.996, 0.995, 0.991 and 0.986.
"""

import json
import pathlib

import jax
import numpy as np
from scipy import stats

from dim_jax import bounds, run_metadata
from dim_jax.evaluate.figures import drawing
from experiments import table

NAME = "dim_a1_jsd_vs_mi"
SIZES = (8, 16, 32, 64, 128)
TABLES = {"paper": 200, "cpu": 200, "smoke": 30}
LARGEST_SCALE = 10.0
SEED = 0


def conditional(random: np.random.Generator, size: int) -> np.ndarray:
    """A table p(y | x), f64[size, size], one law per row."""
    scale, kept = random.uniform(0.0, LARGEST_SCALE), random.uniform(0.05, 1.0)
    draws = scale * random.uniform(size=(size, size))
    draws *= (random.uniform(size=draws.shape) < kept) / kept
    weights = np.exp(draws - draws.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def dependence(conditional: np.ndarray) -> tuple[float, float]:
    """Mutual information in nats, and twice the Jensen-Shannon divergence; X is uniform."""
    joint = conditional / len(conditional)
    product = np.broadcast_to(joint.sum(axis=0) / len(conditional), joint.shape)
    middle = (joint + product) / 2
    shannon = _kl(joint, middle) + _kl(product, middle)
    return _kl(joint, product), shannon


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    some = p > 0
    return float(np.sum(p[some] * np.log(p[some] / q[some])))


def study(tables: int, seed: int = SEED) -> list[dict]:
    """One row per size, with the points of the figure."""
    rows = []
    for size in SIZES:
        random = np.random.default_rng([seed, size])
        drawn = [dependence(conditional(random, size)) for _ in range(tables)]
        information, shannon = np.array(drawn).T
        with jax.enable_x64(True):
            guaranteed = np.asarray(bounds.jsd_to_mi_lower_bound(shannon))
        rows.append(
            {
                "size": size,
                "tables": tables,
                "spearman": float(stats.spearmanr(information, shannon).statistic),
                "largest_information_nats": float(information.max()),
                "share_of_information_guaranteed": float(np.mean(guaranteed / information)),
                "tables_where_guarantee_fails": int(np.sum(guaranteed > information + 1e-9)),
                "information_nats": information.tolist(),
                "twice_jensen_shannon": shannon.tolist(),
            }
        )
    return rows


def figure(rows: list[dict], path: pathlib.Path) -> None:
    """Divergence against information, one colour per size."""
    canvas = drawing.new(6, 4)
    axes = canvas.add_subplot()
    for row in rows:
        axes.scatter(row["information_nats"], row["twice_jensen_shannon"], 6, label=row["size"])
    t = np.linspace(0.0, max(row["largest_information_nats"] for row in rows), 200)
    a = np.exp(-t)
    lowest = 2 * np.log(2) - (1 + a) * np.log1p(a) - a * t
    # The same curve read the other way: no law has more divergence with less information.
    axes.plot(t, lowest, color="grey", linewidth=1, label="most possible")
    axes.set_xlabel("mutual information, nats")
    axes.set_ylabel("2 x Jensen-Shannon divergence")
    axes.legend(title="symbols", frameon=False)
    canvas.tight_layout()
    canvas.savefig(path)


def run(budget: str, results: pathlib.Path = table.RESULTS) -> dict:
    """Runs the study, writes its JSON and figure, prints the correlations."""
    rows = study(TABLES[budget])
    results.mkdir(exist_ok=True)
    content = {
        "experiment": NAME,
        "budget": budget,
        "seed": SEED,
        "commit": run_metadata.commit(),
        "differs": "scale of the draws (uniform to 10) and rate of dropout (0 to 0.95) are ours",
        "rows": rows,
    }
    figure(rows, results / f"{NAME}.png")
    (results / f"{NAME}.json").write_text(json.dumps(content, indent=1) + "\n")
    for row in rows:
        print(
            f"{row['size']:4d} symbols, {row['tables']} tables: rank correlation "
            f"{row['spearman']:.4f}, information up to {row['largest_information_nats']:.2f} nats, "
            f"{100 * row['share_of_information_guaranteed']:.0f} % of it guaranteed"
        )
    return content


if __name__ == "__main__":
    run(table.budget(TABLES))
