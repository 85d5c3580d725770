"""Results on mutual information as Markdown, from experiments/results/mi_*.json."""

import numpy as np

from experiments import mi_staircase_data, mi_staircase_summary
from experiments.fragments import figure, markdown
from experiments.fragments_speed import facts

_GROUPS = {
    "given": "16 given tasks",
    "generated": "more of their families, and mixtures",
    "held_back": "families held back",
    "independent": "independent data",
    "small_samples": "200 and 500 samples",
    "large_information": "5 and 8 nats",
}


def benchmark(content: dict) -> str:
    """Errors by group, peers, coverage, and the aims as hit or miss."""
    summary = content["summary"]
    headings = (
        *("tasks", "estimates", "mean absolute error", "median", "worst", "floor", "reliable"),
        *("interval has the truth", "largest overshoot, standard errors", "CPU seconds"),
    )
    groups = [
        _group(_GROUPS[name], group)
        for name, group in summary["groups"].items()
        if group["rows"] > group["refused"]
    ]
    blocks = [
        f"In nats. {facts(content, 'mi_benchmark')}",
        markdown(headings, groups),
        markdown(
            ("estimator", "tasks", "number", "mean absolute error", "`mi.estimate` on the same"),
            [_peer(entry) for entry in (*summary["published_peers"], *summary["peers"])],
        ),
    ]
    if summary["coverage"]:
        blocks.append(
            markdown(
                (
                    "interval of 95 %",
                    "samples",
                    "draws",
                    "has the truth",
                    "mean width",
                    "mean error",
                ),
                [_coverage(name, each) for name, each in summary["coverage"].items() if each],
            )
        )
    aims = [
        (entry["aim"], f"{entry['value']:.3g}", _limit(entry["limit"]), entry["verdict"])
        for entry in summary["aims"]
    ]
    blocks.append(markdown(("aim", "measured", "limit", "verdict"), aims))
    return "\n\n".join(blocks) + "\n"


def _group(title: str, group: dict) -> tuple[str, ...]:
    return (
        *(title, f"{group['rows'] - group['refused']}"),
        *(f"{group[f'{name}_absolute_error']:.3f}" for name in ("mean", "median", "worst")),
        f"{group['mean_absolute_floor']:.3f}",
        *(f"{group['reliable']:.0%}", f"{group['coverage']:.0%}"),
        "" if group["largest_overshoot"] is None else f"{group['largest_overshoot']:.1f}",
        "" if group["cpu_seconds"] is None else f"{group['cpu_seconds']:.1f}",
    )


def _peer(entry: dict) -> tuple[str, ...]:
    group = _GROUPS[entry["group"]] if "group" in entry else "16 given tasks, published"
    if not entry["tasks"]:
        return (entry["method"], group, "0", "", "")
    numbers = (f"{entry[name]:.3f}" for name in ("mean_absolute_error", "ours"))
    return (entry["method"], group, f"{entry['tasks']}", *numbers)


def _coverage(name: str, entry: dict) -> tuple[str, ...]:
    return (
        *(f"`{name}`", f"{entry['samples']:,}", f"{entry['repeats']}"),
        *(f"{entry['coverage']:.1%}", f"{entry['mean_width']:.3f}", f"{entry['mean_error']:+.3f}"),
    )


def _limit(limit: float | list[float]) -> str:
    if isinstance(limit, list):
        return f"{limit[0]:g} to {limit[1]:g}"
    return f"at most {limit:g}"


_DISTRIBUTIONS = {"gaussian": "Gaussians", "cubed": "cubes"}


def staircase(content: dict) -> str:
    """Bias, variance and error by estimator, the claims as hit or miss, and the figure."""
    nats = mi_staircase_data.NATS
    headings = (
        *("data", "critic", "estimator", *(f"bias at {each:g} nats" for each in nats)),
        *(f"variance at {each:g}" for each in (nats[0], nats[-1])),
        *(f"squared error at {nats[-1]:g}", "seeds", "steps of a stair"),
    )
    claims = [(claim["claim"], claim["measured"], claim["verdict"]) for claim in content["claims"]]
    missing = f" Missing: {len(content['missing'])} trainings." if content["missing"] else ""
    blocks = [
        f"In nats; mean ± standard deviation over seeds of the {content['measured']}. "
        f"{facts(content, content['experiment'])}; {content['cpu_minutes']:g} CPU minutes in all."
        f"{missing}",
        figure(f"{content['experiment']}_{content['budget']}"),
        markdown(headings, [_estimator(row) for row in content["rows"]]),
        f"**Claims**:\n\n{markdown(('claim', 'measured', 'outcome'), claims)}",
        f"**Differences from the published set-up**: {content['differs']}.",
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _estimator(row: dict) -> tuple[str, ...]:
    title = mi_staircase_summary.title(row["estimator"])
    return (
        *(_DISTRIBUTIONS[row["distribution"]], row["critic"], title),
        *(_over_seeds(row["bias"], stair) for stair in range(len(mi_staircase_data.NATS))),
        *(_over_seeds(row["variance"], stair) for stair in (0, -1)),
        *(_over_seeds(row["mse"], -1), f"{len(row['seeds'])}", f"{row['steps']:,}"),
    )


def _over_seeds(seeds: list[list], stair: int) -> str:
    values = [seed[stair] for seed in seeds]
    if None in values:
        return f"not finite in {values.count(None)} of {len(values)}"
    mean = f"{np.mean(values):,.3g}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):,.2g}"
