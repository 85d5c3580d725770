"""The evaluations that configs have unless they say otherwise; `--evals` replaces them.

Where a paper judges by a protocol that takes much longer than ours, such as `mlp-paper-v1`, its
numbers stand beside that protocol, in an evaluation whose key ends in `_paper`, of the trained
encoder alone. The controls are measured by ours, and so is the trained encoder once more, since
numbers of one protocol only can be compared. Smaller budgets have the protocols of `SMALLER`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder

# The protocol of smaller budgets by that of a paper. Ours.
SMALLER = {
    "mlp-paper-v1": "mlp-v1",
    "finetune-paper-v1": "finetune-v1",
    "ndm-paper-v1": "ndm-v2",
    "msssim-paper-v1": "msssim-v1",
    "fid-paper-v1": "fid-v1",
    "amdim-mlp-v1": "mlp-v1",
    "amdim-imagenet-mlp-v1": "mlp-v1",
    "amdim-linear-v1": "linear-v1",
    "amdim-imagenet-linear-v1": "linear-v1",
}
PAPER = "_paper"  # the end of the key of an evaluation that a smaller budget has none of
TAPS = ("conv", "fc", "y")  # the columns of Tables 1 and 2 of Hjelm et al. 2019


def fit_to(prior: str) -> dict:
    """The marginals of y compared with this prior, in the place of the uniform one."""
    return dict(uniformity=dict(name="prior_fit", prior=prior))


GAUSSIAN = fit_to("gaussian")


def evals(*, labels_per_class: int | None, subsets: int = 3, published: Iterable[str] = ()) -> dict:
    """The usual evaluations: MLP, SVM and k-NN probes, with all labels and with few.

    `mlp_permuted` is the control whose training labels are permuted: it must stay near chance.
    labels_per_class: None leaves out the probes with few labels.
    published: taps that the published MLP judges too, under the key `mlp_paper`.
    """
    paper = dict(name="mlp", protocol="mlp-paper-v1", taps=tuple(published))
    control = dict(taps=("y",), permuted=True, representations=("trained",))
    few = dict(labels_per_class=labels_per_class, subsets=subsets)
    block = dict(
        mlp=dict(name="mlp", protocol="mlp-v1"),
        mlp_paper=paper | dict(representations=("trained",)),
        svm=dict(name="svm", protocol="svm-v1"),
        knn=dict(name="knn", protocol="knn-v1"),
        mlp_permuted=dict(name="mlp", protocol="mlp-v1", **control),
        mlp_few=dict(name="mlp", protocol="mlp-v1", **few),
        svm_few=dict(name="svm", protocol="svm-v1", **few),
        knn_few=dict(name="knn", protocol="knn-v1", **few),
        uniformity=dict(name="prior_fit"),
        neighbours=dict(name="neighbours"),
        filters=dict(name="filters"),
        map2d=dict(name="tsne"),
    )
    if not paper["taps"]:
        del block["mlp_paper"]
    if labels_per_class is None:
        return {key: spec for key, spec in block.items() if not key.endswith("_few")}
    return block


def of_mlp(published: Iterable[str] = ()) -> dict:
    """Of the usual evaluations the MLP and its control, the fit to the prior, and two figures."""
    usual = evals(labels_per_class=None, published=published)
    chosen = ("mlp", "mlp_paper", "mlp_permuted", "uniformity", "neighbours", "filters")
    return {key: usual[key] for key in chosen if key in usual}


def sample_quality() -> dict:
    """FID and its like, left out until weights of Inception or an encoder are given.

    All options are there, so that each can be set: --config.evals.fid.weights=PATH.
    """
    network = dict(weights=placeholder(str), encoder=placeholder(str), tap="conv")
    images = dict(images=placeholder(int), against="train")
    return dict(fid=dict(name="fid", protocol="fid-paper-v1", **network, **images))


def finetuned() -> dict:
    """Fine-tuning of the trained and the untrained encoder, on conv; numbers: the protocol."""
    return dict(finetune=dict(name="finetune", protocol="finetune-paper-v1"))


def shorten(
    config: ml_collections.ConfigDict, budget: str, differences: Sequence[str] = ()
) -> None:
    """Gives a config the protocols of a smaller budget, and says so of its published numbers.

    differences: others than the protocols, as phrases.
    """
    published = dict(config.published or {})
    of_paper: dict[str, Any] = {}
    for key, spec in [*config.evals.items()]:
        protocol = spec.get("protocol")
        if protocol not in SMALLER:
            continue
        spec.protocol = SMALLER[protocol]
        if published.get(key):
            of_paper[protocol] = spec.protocol
        usual = key.removesuffix(PAPER)
        if usual != key and usual in config.evals:
            del config.evals[key]
            if key in published:
                published[usual] = published.pop(key)
    if published:
        config.published = published
    if any(published.values()):
        protocols = list(dict.fromkeys(of_paper.values()))
        text = (
            f"Nearest to how they were measured is budget=paper{_listed(of_paper)}; "
            f"budget={budget} has {', '.join([*differences, *protocols])}."
        )
        config.published_differs = f"{config.published_differs} {text}".strip()


def _listed(protocols: Iterable[str]) -> str:
    names = [*dict.fromkeys(protocols)]
    return f", with {' and '.join(names)}" if names else ""
