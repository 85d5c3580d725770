"""Deep InfoMax: the words of its configs, its published weights, and the method's block.

Numbers are of Hjelm et al. 2019 and the official DIM code unless they say "ours".
"""

from typing import Any

from ml_collections.config_dict import placeholder

from configs import common

BOUNDS = {
    "infonce": "infonce",
    "jsd": "jensen_shannon",
    "dv": "donsker_varadhan",
    "gan": "gan",
    "nwj": "nwj",
    "rkl": "reverse_kl",
    "h2": "squared_hellinger",
    "chi2": "pearson_chi2",
}
TASKS = ("plain", "coord", "occlude", "both")
# Table 1 (local, global) and Table 4 (mixed; its gamma is not printed, 0.1 is ours).
WEIGHTS = {
    "local": dict(alpha=0.0, beta=1.0, gamma=0.1),
    "global": dict(alpha=1.0, beta=0.0, gamma=1.0),
    "mixed": dict(alpha=0.5, beta=0.1, gamma=0.1),
}
# Changes of the method's block: `cpu` has a critic of a fortieth of the multiplications.
CPU = {"local_critic.width": 256}
SMOKE = {
    **common.SMALL_ENCODER,
    "local_critic.width": 16,
    "global_critic.widths": (32, 32),
    "coordinates.widths": (32, 32),
}
# Uniform: Table 10 and the official code; the paper prints no numbers of the Gaussian one. SIGReg
# needs no discriminator; 256 directions: the short example of Balestriero and LeCun 2025.
PRIORS = {
    "uniform": dict(name="uniform"),
    "gaussian": dict(name="gaussian"),
    "sigreg": dict(name="sigreg", directions=256),
    "none": dict(name="uniform"),
}


def parse(
    argument: str | None, budgets: tuple[str, ...] = common.BUDGETS, **choices: tuple[str, ...]
) -> dict[str, str]:
    """The words of a DIM config: weights, bound, its other `choices`, and the budget."""
    return common.parse(
        argument, weights=tuple(WEIGHTS), bound=tuple(BOUNDS), **choices, budget=budgets
    )


def occlusion(tasks: str) -> dict:
    """The picture of occluded images, for `tasks` that occlude."""
    return dict(occlusion=dict(name="occlusion")) if tasks in ("occlude", "both") else {}


def dim(
    *,
    encoder: dict,
    weights: str = "local",
    bound: str = "infonce",
    critic_width: int,
    concat_width: int,
    tasks: str = "plain",
    prior: str = "uniform",
) -> dict[str, Any]:
    """The DIM method.

    Args:
      weights: of `WEIGHTS`.
      critic_width: of the encode-and-dot critic of local features; 2048: Tables 8-9.
      concat_width: of the two layers of the concat critic of DIM(G), 512: Table 6; of the
        prediction of coordinates, 512: section 4.3 (from memory).
      tasks: of `TASKS`, the extra tasks of Table 5.
      prior: of `PRIORS`; "none": gamma is 0.
    """
    coordinates = 1.0 if tasks in ("coord", "both") else 0.0
    block = dict(
        name="dim",
        encoder=encoder,
        bound=dict(name=BOUNDS[bound]),
        **WEIGHTS[weights],
        global_critic=dict(name="concat", widths=(concat_width, concat_width)),
        local_critic=dict(name="encode_and_dot", width=critic_width, norm_anchors=True),
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
