"""The evaluations that configs have unless they say otherwise; `--evals` replaces them."""

from ml_collections.config_dict import placeholder

# The marginals of y compared with a normal prior, in the place of the uniform one.
GAUSSIAN = dict(uniformity=dict(name="prior_fit", prior="gaussian"))


def evals(*, labels_per_class: int | None, subsets: int = 3) -> dict:
    """The usual evaluations: MLP, SVM and k-NN probes, with all labels and with few.

    `mlp_permuted` is the control whose training labels are permuted: it must stay near chance.
    labels_per_class: None leaves out the probes with few labels.
    """
    control = dict(taps=("y",), permuted=True, representations=("trained",))
    few = dict(labels_per_class=labels_per_class, subsets=subsets)
    block = dict(
        mlp=dict(name="mlp", protocol="mlp-v1"),
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
    if labels_per_class is None:
        return {key: spec for key, spec in block.items() if not key.endswith("_few")}
    return block


def of_mlp() -> dict:
    """Of the usual evaluations the MLP and its control, the fit to the prior, and two figures."""
    usual = evals(labels_per_class=None)
    chosen = ("mlp", "mlp_permuted", "uniformity", "neighbours", "filters")
    return {key: usual[key] for key in chosen}


def sample_quality() -> dict:
    """FID and its like, left out until weights of Inception or an encoder are given.

    All options are there, so that each can be set: --config.evals.fid.weights=PATH.
    """
    network = dict(weights=placeholder(str), encoder=placeholder(str), tap="conv")
    images = dict(images=placeholder(int), against="train")
    return dict(fid=dict(name="fid", protocol="fid-v1", **network, **images))


def finetuned() -> dict:
    """Fine-tuning of the trained and the untrained encoder, on conv; numbers: the protocol.

    Smaller budgets have the protocol "finetune-v1".
    """
    return dict(finetune=dict(name="finetune", protocol="finetune-paper-v1"))
