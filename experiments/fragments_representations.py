"""Mutual information and representations as Markdown, from mi_and_representations_*.json."""

from collections.abc import Iterator, Sequence

import numpy as np

from experiments import representation_claims as claims
from experiments.fragments import FIGURES, markdown

BOUNDS = {"infonce": "InfoNCE", "nwj": "NWJ"}


def representations(content: dict) -> str:
    """The claims as hit or miss, the numbers of each part, the figure."""
    rows = content["rows"]
    name = f"{content['experiment']}_{content['budget']}"
    blocks = [
        _facts(content),
        f"![{FIGURES[name]}](/_generated/figures/{name}.png)",
        "**Claims**:",
        markdown(
            ("claim", "published", "measured", "seeds", "outcome"),
            [_claim(each) for each in content["claims"]],
        ),
        "**(a) Bijections**, probe in percent, and the largest reconstruction error:",
        markdown(("training", "steps or couplings", "bound, nats", *_PROBES), [*_bijections(rows)]),
        "**(b) Critics on MLP encoders**, InfoNCE maximised:",
        markdown(("critic", "held-out bound, nats", "probe"), [*_critics(rows)]),
        "**(c) InfoNCE held at a target**:",
        markdown(("target, nats", "encoder", "held-out bound, nats", "probe"), [*_held(rows)]),
        *_residual(rows),
        "**(e) Negatives that share a latent**, InfoNCE of 128 pairs in nats:",
        markdown(("negatives", "InfoNCE", "exact"), _shared(content["shared_latent"])),
        f"**Differences from the published set-up**: {content['differs']}.",
    ]
    return "\n\n".join(blocks) + "\n"


_PROBES = ("probe", "probe of images held back", "reconstruction error")


def _facts(content: dict) -> str:
    seeds = len(content["settings"]["seeds"])
    return (
        f"Halves of MNIST, batches of {content['batch']}; probe `{content['protocol']}` "
        f"of the top half, on {content['device']} ({content['machine']}), "
        f"{content['cpu_seconds'] / 60:.0f} CPU minutes in all. Mean and half-width of the interval"
        f" of 95 % over {seeds} seeds. Commit `{content['commit'][:10]}`."
    )


def _claim(claim: dict) -> tuple[str, ...]:
    digits = {"points": "+.1f", "nats": "+.2f", "times": ".3g"}.get(claim["unit"], ".1e")
    text = f"{claim['mean']:{digits}}"
    if claim["half_width"] is not None:
        text += f" ± {claim['half_width']:{digits.replace('+', '')}}"
    values = ", ".join(f"{value:{digits}}" for value in claim["values"])
    if claim["unit"] == "of 1 (white)":
        text, values = f"{max(claim['values']):.1e} at most", ""
    return (
        claim["claim"][0].upper() + claim["claim"][1:],
        claim["published"],
        f"{text} {claim['unit']}",
        values,
        claim["verdict"],
    )


def spread(values: Sequence[float], digits: int, scale: float = 1.0) -> str:
    """Mean and half-width of the interval of 95 %."""
    values = scale * np.asarray(values)
    width = claims.half_width(values)
    return f"{values.mean():.{digits}f}" + (f" ± {width:.{digits}f}" if width is not None else "")


def _at(rows: Sequence[dict], index: int, measure: str) -> list[float]:
    return [row["trace"][index][measure] for row in rows]


def _bijections(rows: Sequence[dict]) -> Iterator[tuple[str, ...]]:
    curves = [
        (f"{name} maximised", dict(part="bijection", objective=key)) for key, name in BOUNDS.items()
    ]
    for title, facts in [*curves, ("against linear classifiers", dict(part="adversarial"))]:
        chosen = claims.chosen(rows, **facts)
        for index, point in enumerate(chosen[0]["trace"]):
            held_back = "accuracy_held_back" in point
            yield (
                *(title, f"{point['step']}"),
                spread(_at(chosen, index, "bound"), 2) if "bound" in point else "",
                spread(_at(chosen, index, "accuracy"), 1, 100),
                spread(_at(chosen, index, "accuracy_held_back"), 1, 100) if held_back else "",
                f"{max(_at(chosen, index, 'reconstruction_error')):.1e}",
            )


def _critics(rows: Sequence[dict]) -> Iterator[tuple[str, ...]]:
    for critic in claims.CRITICS:
        yield critic, *_both(claims.chosen(rows, part="critics", critic=critic))


def _held(rows: Sequence[dict]) -> Iterator[tuple[str, ...]]:
    for target in sorted({row["target"] for row in rows if row["part"] == "held"}):
        for encoder in ("ConvNet", "MLP"):
            chosen = claims.chosen(rows, part="held", target=target, encoder=encoder)
            yield (f"{target:g}", encoder, *_both(chosen))


def _both(rows: Sequence[dict]) -> tuple[str, str]:
    return spread(claims.last(rows, "bound"), 2), spread(claims.last(rows, "accuracy"), 1, 100)


def _residual(rows: Sequence[dict]) -> Iterator[str]:
    chosen = claims.chosen(rows, part="condition")
    if chosen:
        yield "**(d) Residual MLP**, InfoNCE maximised:"
        yield markdown(("steps", "condition number", "probe"), [*_condition(chosen)])


def _condition(chosen: Sequence[dict]) -> Iterator[tuple[str, ...]]:
    for index, point in enumerate(chosen[0]["trace"]):
        numbers = spread(_at(chosen, index, "condition_number"), 1)
        yield (f"{point['step']}", numbers, spread(_at(chosen, index, "accuracy"), 1, 100))


def _shared(study: dict) -> list[tuple[str, ...]]:
    return [
        ("independent", spread(study["independent"], 2), f"{study['information']:.2f}"),
        ("of one latent", spread(study["shared"], 2), f"{study['information']:.2f}"),
    ]
