"""The benchmark of mutual information as Markdown, from experiments/results/mi_benchmark_*.json."""

from experiments.fragments import markdown
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
