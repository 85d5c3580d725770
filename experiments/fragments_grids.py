"""The grids of digits as Markdown, from experiments/results/wdm_grids_*.json."""

import statistics
from collections.abc import Iterator

from experiments import digit_grids, fragments, wdm_grids_summary
from experiments.fragments import markdown

_BOTH = ("cpc", "wpc")


def grids(content: dict) -> str:
    """Accuracies by digits and by batch size beside controls, nats and slopes; the claims."""
    plan = content["plan"]
    blocks = [
        _facts(content),
        markdown(
            (
                *("digits", "true nats", "CPC, %", "WPC, %", "untrained, %", "pixels, %"),
                *("CPC, nats", "WPC, nats", "slope of CPC", "slope of WPC"),
            ),
            [_by_number(content, n) for n in plan["numbers"]],
        ),
        f"By the size of a batch, with {plan['numbers'][-1]} digits:",
        markdown(
            ("batch", "seeds", "CPC, %", "WPC, %", "slope of CPC", "slope of WPC"),
            [_by_batch(content, size) for size in sorted({plan["batch"], *plan["batches"]})],
        ),
        fragments.figure(f"wdm_grids_{content['budget']}"),
        markdown(
            ("claim", "verdict", "mean difference", "interval of 95 %", "by seed"),
            [_claim(each) for each in content["claims"]],
        ),
    ]
    if choice := [*_choice(content)]:
        headings = ("weight", "sided", "temperature", "accuracy on training digits, %", "slope")
        blocks += ["The choice of the penalty, by grids of training digits and another seed:"]
        blocks += [markdown(headings, choice)]
    return "\n\n".join([*blocks, f"Differences from the published set-up: {content['differs']}."])


def _facts(content: dict) -> str:
    plan, rows = content["plan"], content["rows"]
    commits = sorted({row["commit"][:10] for row in rows})
    minutes = sum(row["cpu_seconds"] for row in rows) / 60
    weight = plan["penalty"]["weight"]
    return (
        f"Mean ± standard deviation over {len(plan['seeds'])} seeds, controls one; accuracy is the "
        f"mean over positions. {plan['steps']} steps, {plan['batch']} pairs in a batch, one "
        f"penalty of weight {weight:g} for all; {content['machine']}, {minutes:.0f} core-minutes, "
        f"commit `{'`, `'.join(commits)}`. Nats are those of the last tenth of training; slopes "
        f"are the largest and the mean at {plan['held_out']} points between held-out pairs."
    )


def _mean(content, part, method, measure, key, by="n", scale=1.0, digits=1) -> str:
    """The mean over seeds, with their deviation where there are several."""
    by_seed = wdm_grids_summary.values(content, part, method, measure, by).get(key, {})
    numbers = [scale * value for value in by_seed.values()]
    if not numbers:
        return ""
    spread = f" ±{statistics.stdev(numbers):.{digits}f}" if len(numbers) > 1 else ""
    return f"{statistics.mean(numbers):.{digits}f}{spread}"


def _slopes(content, part, method, key, by="n") -> str:
    of = [
        _mean(content, part, method, f"held_out_slope_{which}", key, by).partition(" ")[0]
        for which in ("max", "mean")
    ]
    return f"{of[0]}, mean {of[1]}" if of[0] else ""


def _by_number(content: dict, n: int) -> tuple[str, ...]:
    accuracies = [_mean(content, "numbers", each, "accuracy", n, scale=100) for each in _BOTH]
    controls = [
        _mean(content, "controls", each, "accuracy", n, scale=100)
        for each in ("untrained", "pixels")
    ]
    nats = [_mean(content, "numbers", each, "nats_in_training", n, digits=2) for each in _BOTH]
    slopes = [_slopes(content, "numbers", each, n) for each in _BOTH]
    return (f"{n}", f"{digit_grids.information(n):.1f}", *accuracies, *controls, *nats, *slopes)


def _by_batch(content: dict, size: int) -> tuple[str, ...]:
    accuracies = [
        _mean(content, "batches", each, "accuracy", size, "batch", scale=100) for each in _BOTH
    ]
    slopes = [_slopes(content, "batches", each, size, "batch") for each in _BOTH]
    seeds = wdm_grids_summary.values(content, "batches", "wpc", "accuracy", "batch").get(size, ())
    return (f"{size}", f"{len(seeds)}", *accuracies, *slopes)


def _claim(claim: dict) -> tuple[str, ...]:
    unit = f" {claim['unit']}" if claim["unit"] else ""
    ends = claim["interval"]
    return (
        claim["claim"][0].upper() + claim["claim"][1:],
        claim["verdict"],
        f"{claim['mean']:+.3g}{unit}",
        f"{ends[0]:+.3g} to {ends[1]:+.3g}" if ends else "",
        ", ".join(f"{each:+.3g}" for each in claim["differences"]),
    )


def _choice(content: dict) -> Iterator[tuple[str, ...]]:
    for row in content["rows"]:
        if row["part"] == "choice":
            penalty = row["penalty"]
            none = not penalty["weight"]
            yield (
                "0 (CPC)" if none else f"{penalty['weight']:g}",
                *("" if none else penalty["sided"], f"{penalty['temperature']:g}"),
                f"{100 * row['accuracy_training_digits']:.1f}",
                f"{row['held_out_slope_max']:.1f}, mean {row['held_out_slope_mean']:.1f}",
            )
