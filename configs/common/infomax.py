"""Deep InfoMax: the words of its configs, its published weights, and the method's block.

Numbers are of Hjelm et al. 2019 and the official DIM code unless they say "ours".
"""

from collections.abc import Mapping
from typing import Any

from ml_collections.config_dict import placeholder

from configs import common
from dim_jax import settings

# Functions of `dim_jax.bounds`. tau is one of the values of Song and Ermon 2020; alpha and the
# constant baselines are ours.
BOUNDS = {
    "infonce": dict(name="infonce"),
    "jsd": dict(name="jensen_shannon"),
    "dv": dict(name="donsker_varadhan"),
    "gan": dict(name="gan"),
    "nwj": dict(name="nwj"),
    "rkl": dict(name="reverse_kl"),
    "h2": dict(name="squared_hellinger"),
    "chi2": dict(name="pearson_chi2"),
    "js_nwj": dict(name="js_nwj"),
    "smile": dict(name="smile", tau=5.0),
    "tuba": dict(name="tuba", log_baseline=0.0),
    "i_alpha": dict(name="interpolated", alpha=0.5, log_baseline=0.0),
    "symmetric": dict(name="symmetric_infonce"),
    "decoupled": dict(name="decoupled_infonce"),
    "wasserstein": dict(name="wasserstein"),
}
TASKS = ("plain", "coord", "occlude", "both")
# Table 1 (local, global) and Table 4 (mixed; its gamma is not printed, 0.1 is ours).
WEIGHTS = {
    "local": dict(alpha=0.0, beta=1.0, gamma=0.1),
    "global": dict(alpha=1.0, beta=0.0, gamma=1.0),
    "mixed": dict(alpha=0.5, beta=0.1, gamma=0.1),
}
# by_term: dot for the local term, concat for the global one.
CRITICS = ("by_term", "dot", "concat")
# Uniform: Table 10 and the official code; the paper prints no numbers of the Gaussian one, of ball
# and sphere. SIGReg needs no discriminator; 256 directions: the short example of Balestriero and
# LeCun 2025.
PRIORS = {
    "uniform": dict(name="uniform"),
    "gaussian": dict(name="gaussian"),
    "ball": dict(name="ball"),
    "sphere": dict(name="sphere"),
    "sigreg": dict(name="sigreg", directions=256),
    "none": dict(name="uniform"),
}
# The smaller budgets, ours; `cpu` has a critic of a fortieth of the multiplications.
CPU_WIDTH, CPU_WIDTHS = 256, (64, 64)
# Convolutions of an encoder: channels over its width, kernels, strides, pools; the index of the
# one that makes the local features; and the number of hidden layers. Official DIM code,
# configs/convnets.py.
_LAYERS = {
    "dcgan28": ((1, 2), (5, 5), (2, 2), (0, 0), 1, 1),
    "dcgan32": ((1, 2, 4), (4, 4, 4), (2, 2, 2), (0, 0, 0), 1, 1),
    "dcgan64": ((1, 2, 4, 8), (4, 4, 4, 4), (2, 2, 2, 2), (0, 0, 0, 0), 2, 1),
    "alexnet64": ((1, 2, 4, 4, 2), (3, 3, 3, 3, 3), (1, 1, 1, 1, 1), (3, 3, 0, 0, 3), 2, 2),
}


def parse(
    argument: str | None, budgets: tuple[str, ...] = common.BUDGETS, **choices: tuple[str, ...]
) -> dict[str, str]:
    """The words of a DIM config: weights, bound, critic, prior, its other `choices`, the budget.

    Raises: settings.UserError: an unknown word, or words that exclude each other.
    """
    words = common.parse(
        argument,
        weights=tuple(WEIGHTS),
        bound=tuple(BOUNDS),
        critic=CRITICS,
        prior=tuple(PRIORS),
        **choices,
        budget=budgets,
    )
    if words["bound"] == "wasserstein" and words["critic"] == "dot":
        raise settings.UserError(
            "bound=wasserstein with critic=dot: a distance of Wasserstein needs a critic whose "
            "slope is at most 1, and a dot product has no such form; use critic=concat, which then "
            "has spectral norm"
        )
    return words


def occlusion(tasks: str) -> dict:
    """The picture of occluded images, for `tasks` that occlude."""
    return dict(occlusion=dict(name="occlusion")) if tasks in ("occlude", "both") else {}


def dim(
    *,
    encoder: dict,
    weights: str = "local",
    bound: str = "infonce",
    critic: str = "by_term",
    critic_width: int,
    concat_width: int,
    tasks: str = "plain",
    prior: str = "uniform",
) -> dict[str, Any]:
    """The DIM method.

    Args:
      weights: of `WEIGHTS`.
      critic: of `CRITICS`. Local term: encode-and-dot, Tables 8-9, or concat-and-convolve, Table 7.
        Global term: the released dot product of a copy of the encoder's last layers (of the
        encoders in `_LAYERS`), or concat, Table 6. With the bound "wasserstein" both are concat.
      critic_width: of the dot products; 2048: Tables 8-9, models/dim.py. Layer norm of the anchors
        (`local_critic.norm_anchors`): official DIM code, April 2019; Table 8 and the first release
        have none.
      concat_width: of the two layers of the concat critics, 512: Tables 6-7; of the prediction of
        coordinates, 512: section 4.3 (from memory).
      tasks: of `TASKS`, the extra tasks of Table 5.
      prior: of `PRIORS`; "none": gamma is 0.
    """
    coordinates = 1.0 if tasks in ("coord", "both") else 0.0
    of_global, of_local = _kinds(dict(bound=bound, critic=critic))
    concat = dict(name="concat", widths=(concat_width, concat_width))
    if bound == "wasserstein":
        concat["spectral_norm"] = True
    dot = dict(name="encode_and_dot", width=critic_width, norm_anchors=True)
    block = dict(
        name="dim",
        encoder=encoder,
        bound=BOUNDS[bound],
        **WEIGHTS[weights],
        global_critic=concat if of_global == "concat" else _tail(encoder, critic_width),
        local_critic=concat if of_local == "concat" else dot,
        prior=PRIORS[prior],
        # Table 10 and the official code, prior_matching.py.
        discriminator=dict(name="discriminator", widths=(1000, 200)),
        penalty=1.0,
        occlusion=True if tasks in ("occlude", "both") else placeholder(bool),
        # Weight 1: official DIM code, coordinates.py, for the absolute ones; the other is ours.
        **dict(absolute=coordinates, relative=coordinates),
        coordinates=dict(name="coordinates", widths=(concat_width, concat_width)),
        **dict(sampled_locations=placeholder(int), negatives=placeholder(int)),
        block=placeholder(int),  # of images, for scores that do not fit: value and gradient stay
    )
    return block if prior != "none" else {**block, "gamma": 0.0}


def as_published(words: Mapping[str, str]) -> bool:
    """Whether prior and critics are those of Tables 1, 2 and 5: scores of the local term by dot.

    Of the global term the paper prints the concat critic (Table 6) and has, as it says, dot
    products in these tables: both count.
    """
    return words["prior"] == "uniform" and (
        words["weights"] == "global" or _kinds(words)[1] == "dot"
    )


def fit(prior: str) -> dict[str, dict]:
    """The evaluation of the fit to a prior of `PRIORS`, unless it is the usual one."""
    if prior in ("uniform", "none"):
        return {}
    return common.fit_to("gaussian" if prior == "sigreg" else prior)


def cpu(words: Mapping[str, str], encoder: dict | None = None) -> dict[str, Any]:
    """The changes of the method's block in `cpu`.

    Args:
      words: of `parse`.
      encoder: its block with the width and the hidden units of this budget, if they are others.
    """
    of_global, of_local = _kinds(words)
    changes: dict[str, Any] = {"local_critic.width": CPU_WIDTH}
    if of_local == "concat":
        changes = {"local_critic.widths": CPU_WIDTHS}
    if encoder is not None:
        changes |= {"encoder.width": encoder["width"], "encoder.hidden": encoder["hidden"]}
        changes |= _tail_of_budget(encoder) if of_global == "dot" else {}
    return changes


def long(words: Mapping[str, str]) -> dict[str, Any]:
    """The changes in `long`: those in `cpu`, and fewer locations where pairs take most time.

    With InfoNCE the anchors of the dot product have no layer norm, as in Table 8: by accuracy on
    validation images (experiments/dim_long_choice.py), where the other bound tried, JSD, needs it.
    """
    if _kinds(words)[1] == "concat":
        return cpu(words) | {"sampled_locations": 16}
    norm = {"local_critic.norm_anchors": False} if words["bound"] == "infonce" else {}
    return cpu(words) | norm


def smoke(
    words: Mapping[str, str] | None = None, encoder: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The changes in `smoke`.

    Args:
      words: of `parse`; without, the first of each.
      encoder: its block, for critic=dot.
    """
    of_global, of_local = _kinds(words or dict(bound="", critic="by_term"))
    changes = {**common.SMALL_ENCODER, "coordinates.widths": (32, 32)}
    local = {"widths": (16, 16)} if of_local == "concat" else {"width": 16}
    changes |= common.under("local_critic", local)
    if of_global == "concat":
        return changes | {"global_critic.widths": (32, 32)}
    small = {key.removeprefix("encoder."): size for key, size in common.SMALL_ENCODER.items()}
    return changes | _tail_of_budget({**encoder, **small}) | {"global_critic.width": 16}


def _kinds(words: Mapping[str, str]) -> tuple[str, str]:
    """The critics of the global and of the local term, "dot" or "concat" each."""
    if words["bound"] == "wasserstein":
        return "concat", "concat"
    return ("concat", "dot") if words["critic"] == "by_term" else 2 * (words["critic"],)


def _tail(encoder: Mapping[str, Any], width: int) -> dict[str, Any]:
    """The released critic of the global term: the encoder's layers from the local map on, again."""
    if encoder["name"] not in _LAYERS:
        raise settings.UserError(
            f"critic=dot and the encoder {encoder['name']}: the global term repeats the last "
            f"layers of one of {', '.join(_LAYERS)}; use critic=by_term or critic=concat"
        )
    channels, *rest, local, hidden = _LAYERS[encoder["name"]]
    start = encoder.get("local", local)
    kernels, strides, pools = (sizes[start:] for sizes in rest)
    return dict(
        name="tail_and_dot",
        channels=tuple(encoder["width"] * factor for factor in channels[start:]),
        **dict(kernels=kernels, strides=strides, pools=pools),
        hidden=(encoder["hidden"],) * hidden,
        width=width,
    )


def _tail_of_budget(encoder: Mapping[str, Any]) -> dict[str, Any]:
    """The changes of `_tail` with the sizes of the encoder in a smaller budget."""
    tail = _tail(encoder, 0)
    return common.under("global_critic", {key: tail[key] for key in ("channels", "hidden")})
