"""WPC, Wasserstein predictive coding (Ozair et al. 2019): a pair's sides and a smooth critic.

    python -m dim_jax.main --config configs/wpc.py:pair=left_right,budget=cpu

Words: data=cifar10 | mnist; pair=left_right | upper_lower | views (the halves of an image, or two
augmented views of it); lipschitz=penalty | spectral | none (a penalty of the slopes of the score in
the pixels, kernels divided by their largest singular values, or nothing: CPC of the pair);
objective=infonce | wasserstein; critic=bilinear | concat; budget=paper | cpu | smoke.
`spectral` has the concat critic, because a bilinear one is not Lipschitz; compare it with
`lipschitz=none,critic=concat`. All else is alike in rows that differ in the word lipschitz.

Nothing is published for these data: the paper has halves of CelebA's faces (from memory). `paper`
is ours, a long training of a wider encoder, which was not run; `cpu` is five epochs of a narrow one
on two cores; `smoke` takes seconds.

Measured on MNIST, two epochs of 10,000 images, budget=cpu, seed 0: a left half retrieves the right
one among 64 in 34 % of cases (by chance 1.6 %); linear y 87.3, untrained 85.7. More on what the
penalty does: experiments/wdm_grids.py. No budget but smoke was run to its end.

Metric: test accuracy of a linear classifier of the frozen y, and retrieval of one side by the
other.
"""

from typing import Any

from configs import common
from configs.common import datasets, views
from dim_jax import settings

PAIRS = ("left_right", "upper_lower", "views")
# Ours: digits have no colours, and a mirrored digit is another sign.
DIGITS = dict(views=2, resized_crop=(0.3, 1.0))
PENALTY = 1.0  # ours: experiments/wdm_grids.py, the part "choice"
WIDTHS = {"paper": (64, 1024, 128), "cpu": (16, 256, 64), "smoke": (4, 16, 8)}


def get_config(argument: str = ""):
    words = common.parse(
        argument,
        data=("cifar10", "mnist"),
        pair=PAIRS,
        lipschitz=("penalty", "spectral", "none"),
        objective=("infonce", "wasserstein"),
        critic=("bilinear", "concat"),
        budget=common.BUDGETS,
    )
    if (words["lipschitz"], words["objective"]) == ("none", "wasserstein"):
        raise settings.UserError(
            "lipschitz=none and objective=wasserstein, a difference of scores that grows without "
            "end; use lipschitz=penalty or spectral, or objective=infonce"
        )
    name, of_views = words["data"], words["pair"] == "views"
    dataset = datasets.DATA[name]
    config = common.config(
        augment=common.augment(**_augmentation(name) if of_views else {}),
        data=common.data(dataset.name, scaling="standardized"),
        method=views.monitored(_method(words), dataset.classes),
        players=dict(encoder=views.short_adam(1e-3), probe=common.adam(1e-3)),
        train=common.train(batch_size=128, epochs=200, steps_per_dispatch=100, save_epochs=10),
        evals=_evals(of_views),
        published={},
        published_source="",
    )
    cpu = {"train.epochs": 5, "train.steps_per_dispatch": 50, "train.save_epochs": 1}
    smoke = datasets.smoke(name) | {"train.batch_size": 64}
    return common.budgeted(config, words["budget"], cpu=cpu, smoke=smoke)


def _augmentation(name: str) -> dict[str, Any]:
    if name == "mnist":
        return DIGITS
    return views.augmentation("published", views.SIMCLR_VIEWS, views.IMAGES[name])


def _method(words: dict[str, str]) -> dict[str, Any]:
    width, hidden, features = WIDTHS[words["budget"]]
    spectral, of_views = words["lipschitz"] == "spectral", words["pair"] == "views"
    layers = 2 if words["budget"] == "smoke" else 3
    encoder = dict(
        **dict(name="strided", channels=tuple(width * 2**layer for layer in range(layers))),
        **dict(kernels=(4,) * layers, strides=(2,) * layers),
        **dict(hidden=hidden, features=features, norm="none"),
    )
    if spectral:
        encoder = dict(name="spectral", encoder=encoder)
    if not of_views:
        encoder = dict(name="halves", cut=words["pair"], encoder=encoder)
    concat = dict(name="concat", widths=(hidden,), spectral_norm=spectral)
    return dict(
        name="wpc",
        encoder=encoder,
        global_critic=concat if spectral or words["critic"] == "concat" else dict(name="bilinear"),
        taps=("y", "y") if of_views else ("y_first", "y_second"),
        objective=words["objective"],
        temperature=1.0,
        penalty=PENALTY if words["lipschitz"] == "penalty" else 0.0,
        sided="one",
        inputs="pixels",
        points=128 if words["lipschitz"] == "penalty" else 16,  # else measured only
    )


def _evals(of_views: bool) -> dict[str, dict]:
    chosen = views.evals(large=False)
    if not of_views:
        del chosen["alignment"], chosen["views"]  # of two views
        chosen["linear"]["taps"] = ("y", "y_first", "y_second")
    return chosen
