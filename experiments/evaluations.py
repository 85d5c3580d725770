"""Evaluations of the rows of experiments, in the place of those of their configs.

A row passes them on as `--evals`. Each function chooses among the evaluations of a config, given
with its words, or changes them.
"""

import importlib
import pathlib
from typing import Any

import ml_collections

Evals = dict[str, dict[str, Any]]

HINGES = ("hinge", "squared_hinge")
# Those of the configs that no table of a paper has.
_MORE = ("svm", "knn", "mlp_few", "svm_few", "knn_few", "map2d")
_TRAINED = ("trained",)


def load(config: str) -> ml_collections.ConfigDict:
    """A config with its words: "configs/vae.py:vae,budget=cpu"."""
    file, _, words = config.partition(":")
    return importlib.import_module(f"configs.{pathlib.Path(file).stem}").get_config(words)


def of(config: str) -> Evals:
    """The evaluations of a config."""
    return load(config).to_dict()["evals"]


def chosen(config: str, *keys: str) -> Evals:
    """These evaluations of a config."""
    return {key: spec for key, spec in of(config).items() if key in keys}


def mlp(config: str) -> Evals:
    """The MLP with its control, and all else but other probes, few labels and the map."""
    return {key: spec for key, spec in of(config).items() if key not in _MORE}


def controlled(config: str) -> Evals:
    """`mlp`, with the taps and controls of the MLP as options that a row's `later` can change."""
    evals = mlp(config)
    controls = (*_TRAINED, "untrained", "pixels", "pca")
    evals["mlp"] = {"taps": ("conv", "fc", "y"), "representations": controls, **evals["mlp"]}
    return evals


def trained(config: str) -> Evals:
    """The MLP and the fit to the prior of the trained encoder alone, and the method's measures."""
    measures = ("generative", "inversion", "retrieval")
    evals = chosen(config, "mlp", "mlp_paper", "own_classifier", "uniformity", *measures)
    evals["mlp"] = {"taps": ("conv", "fc", "y"), **evals["mlp"]}
    for key in ("mlp", "uniformity"):
        evals[key]["representations"] = _TRAINED
    return evals


def y(config: str, *more: str) -> Evals:
    """The MLP of y and of `more` taps, its control at y, and the fit to the prior."""
    evals = chosen(config, "mlp", "mlp_paper", "mlp_permuted", "uniformity")
    for key in {"mlp", "mlp_paper"} & evals.keys():
        evals[key]["taps"] = (*more, "y")
    return evals


def judge(config: str) -> str:
    """The MLP with which claims of a paper are judged: its protocol's where the config has it."""
    return "mlp_paper" if "mlp_paper" in of(config) else "mlp"


def measures(config: str, budget: str) -> Evals:
    """Table 4's measures of y: the SVM, reconstruction, information and dependence, with controls.

    In the budget "paper" five SVMs, by the paper's hinge and by the official code's squared one,
    and of the trained encoder reconstruction and dependence by the paper's protocols too. The
    dependence by two protocols of ours: of standardised coordinates, and as they are.
    """
    encoders = ("trained", "untrained")
    svm = dict(name="svm", protocol="svm-v1")
    all_of = dict(taps=("conv", "fc", "y"), representations=(*encoders, "pixels", "pca"))
    svms = {"svm": svm | all_of}
    if budget == "paper":
        protocols = {loss: f"svm-{loss.replace('_', '-')}-v1" for loss in HINGES}
        svms = {f"svm_{loss}": dict(svms["svm"], protocol=name) for loss, name in protocols.items()}
    reconstruction = dict(name="msssim", protocol="msssim-v1")
    return {
        **svms,
        "svm_permuted": dict(**svm, taps=("y",), permuted=True, representations=_TRAINED),
        "msssim": dict(**reconstruction, representations=encoders),
        "msssim_permuted": dict(**reconstruction, permuted=True, representations=_TRAINED),
        "mine": dict(name="mine", protocol="mine-v1", representations=encoders),
        "ndm": dict(name="ndm", protocol="ndm-v1", representations=encoders),
        "ndm_unscaled": dict(name="ndm", protocol="ndm-v2", representations=encoders),
        **(as_published("msssim", "ndm") if budget == "paper" else {}),
        **chosen(config, "uniformity", "generative", "inversion"),
    }


def uncontrolled(evals: Evals) -> Evals:
    """The evaluations of the trained encoder alone, without permuted labels or features."""
    return {
        key: {**spec, **({"representations": _TRAINED} if "representations" in spec else {})}
        for key, spec in evals.items()
        if not spec.get("permuted")
    }


def measures_of_draws(config: str, budget: str) -> Evals:
    """Those of a VAE: also the dependence of drawn codes, on which its prior acts."""
    return with_draws(measures(config, budget))


def with_draws(evals: Evals) -> Evals:
    """The evaluations, each of NDM also of drawn codes under the key `ndm_of_draws...`."""
    drawn = dict(drawn=True, representations=_TRAINED)
    return evals | {
        key.replace("ndm", "ndm_of_draws"): spec | drawn
        for key, spec in evals.items()
        if spec["name"] == "ndm"
    }


def as_published(*names: str) -> Evals:
    """These evaluations of the trained encoder by the protocols of the paper.

    Of NDM minutes of a CPU for each number, of MS-SSIM for an accelerator.
    """
    return {
        f"{name}_paper": dict(name=name, protocol=f"{name}-paper-v1", representations=_TRAINED)
        for name in names
    }


def representations(config: str) -> Evals:
    """Choices of the representation of Exemplar-CNN by one SVM, and the bound of each layer."""
    network = importlib.import_module("configs.exemplar").get_config(config.partition(":")[2])
    layers = range(1, len(network.method.encoder.widths) + 1)
    by_layer = (*(f"pooled_conv{layer}" for layer in layers), "pooled_fc")
    svm = dict(name="svm", protocol="svm-v1", representations=_TRAINED)
    bound = dict(name="exemplar_bound", protocol="surrogate-v1", representations=_TRAINED)
    return dict(
        svm=dict(svm, taps=("y", *by_layer, "pooled")),
        svm_one=dict(svm, taps=("y",), views=1),
        svm_mean=dict(svm, taps=("y",), views=16),
        surrogate=dict(bound, taps=(*by_layer, "y")),
    )
