"""Methods across views and their relatives under one encoder, data, budget and augmentation.

    python -m dim_jax.main --config configs/views.py:method=simclr,budget=cpu

Words: method=simclr | moco | byol | swav | barlow | vicreg | sigreg | amdim | dim | cpc | cmc;
augment=published | crop | none (SimCLR's views on CIFAR; boxes and flips alone; the image as it
is, in methods across views twice); encoder=narrow | wide (twice the channels); predictor=on | off
(of BYOL); budget=paper | cpu | smoke. Data: CIFAR-10.

Rows of experiments/views_table.py differ in the method alone: the encoder is AMDIM's (of which CPC
sees the 7x7 map through masked convolutions, and CMC one of half the channels for each of L and
ab), with batch norm, and Adam. Methods without views see one augmented view of an image.
Everything here is ours. `paper` is a longer training of AMDIM's small encoder, which was not run;
`cpu` 4 epochs on 20,000 images, a small encoder, for two cores; `smoke` takes seconds.

Metric: test accuracy of a linear classifier of the frozen y, before any projection head.
"""

from typing import Any

from configs import barlow, byol, common, moco, sigreg, simclr, swav, vicreg
from configs.common import datasets, infomax, views

ACROSS_VIEWS = {
    "simclr": simclr.RECIPE,
    "moco": moco.RECIPE,
    "byol": byol.RECIPE,
    "swav": swav.RECIPE,
    "barlow": barlow.RECIPE,
    "vicreg": vicreg.RECIPE,
    "sigreg": sigreg.RECIPE,
}
OTHERS = ("amdim", "dim", "cpc", "cmc")
# ndf, n_rkhs, n_depth by budget: AMDIM's small encoder, and ours for two cores.
SIZES = {"paper": (128, 1024, 10), "cpu": (16, 128, 1), "smoke": (4, 32, 1)}
IMAGES = 20_000  # of `cpu`


def get_config(argument: str = ""):
    words = common.parse(
        argument,
        method=(*ACROSS_VIEWS, *OTHERS),
        augment=views.AUGMENTS,
        encoder=("narrow", "wide"),
        predictor=("on", "off"),
        budget=common.BUDGETS,
    )
    name, budget = words["method"], words["budget"]
    across = name in ACROSS_VIEWS or name == "amdim"
    augment = views.augmentation(words["augment"], views.SIMCLR_VIEWS, views.IMAGES["cifar10"])
    method = _across_views(words) if name in ACROSS_VIEWS else _other(words)
    players = ("encoder", "discriminator") if name == "dim" else ("encoder",)
    config = common.config(
        augment=common.augment(**augment | ({} if across else dict(views=1))),
        # Encoders of colour views take pixels in [0, 1].
        data=common.data("cifar10", scaling="unit" if name == "cmc" else "standardized"),
        method=views.monitored(method, datasets.DATA["cifar10"].classes),
        players=dict.fromkeys(players, views.short_adam(1e-3)) | dict(probe=common.adam(1e-3)),
        train=common.train(
            batch_size=256,
            epochs=300,
            steps_per_dispatch=100,
            save_epochs=10,
        ),
        evals=_evals(across),
        published={},
        published_source="",
    )
    cpu = views.CPU | {"data.train_split": f"train[:{IMAGES}]"}
    smoke = datasets.smoke("cifar10") | {"train.batch_size": 64}
    return common.budgeted(config, budget, cpu=cpu, smoke=smoke)


def _encoder(words: dict[str, str]) -> dict[str, Any]:
    ndf, features, depth = SIZES[words["budget"]]
    factor = 2 if words["encoder"] == "wide" else 1
    sizes = dict(ndf=ndf * factor, n_rkhs=features * factor, n_depth=depth)
    return dict(name="amdim32", **sizes, norm="batch")


def _across_views(words: dict[str, str]) -> dict[str, Any]:
    recipe = ACROSS_VIEWS[words["method"]]
    if words["method"] == "byol" and words["predictor"] == "off":
        recipe = byol.without_predictor()
    smaller = recipe.smoke if words["budget"] == "smoke" else recipe.cpu
    method = dict(recipe.method, encoder=_encoder(words))
    for key, value in smaller.items():
        part, _, argument = key.rpartition(".")
        method[part or argument] = method[part] | {argument: value} if part else value
    return method


def _other(words: dict[str, str]) -> dict[str, Any]:
    encoder, small = _encoder(words), words["budget"] == "smoke"
    if words["method"] == "amdim":
        return dict(
            **dict(name="amdim", encoder=encoder, embedding=dict(name="embedding", norm="batch")),
            **dict(terms=("1_to_5", "1_to_7", "5_to_5"), penalty=0.05, clip=20.0),
        )
    if words["method"] == "dim":
        width = 16 if small else 256
        return infomax.dim(encoder=encoder, critic_width=width, concat_width=width)
    if words["method"] == "cpc":
        context = dict(name="masked_conv", width=None, depth=4)
        return dict(
            **dict(name="cpc", encoder=dict(name="contextual", encoder=encoder, context=context)),
            **dict(local_critic=dict(name="bilinear"), bound=dict(name="infonce")),
            # Receptive fields of the 7x7 map overlap by half with those of the next row.
            **dict(offsets=(2, 3, 4), negatives="images"),
        )
    halves = {key: encoder[key] // 2 for key in ("ndf", "n_rkhs")}
    colours = dict(name="colour_views", space="lab", views=("L", "ab"), encoder=encoder | halves)
    return dict(
        **dict(name="cmc", encoder=colours, views=("L", "ab"), graph="core"),
        **dict(objective="softmax", temperature=0.1),
    )


def _evals(across: bool) -> dict[str, dict]:
    """Those of methods across views; other methods are trained on one view."""
    chosen = views.evals(large=False)
    return chosen if across else {key: chosen[key] for key in chosen if key != "views"}
