"""Which representation of Exemplar-CNN: an image's own, that of changed copies, or all layers?

    python -m experiments.exemplar_representations --budget=cpu

After training for information about the patch, what is to be used? y of the image, which was never
trained on as it is; y of one changed copy, which was; the mean over 16 copies, at least as
invariant; a layer below; or, as the authors do, the pooled responses of all layers. All are
measured by one linear SVM. Beside them, how many nats a softmax that is fitted to a frozen layer
shows of the patch: the more of the network counts as the model q, the tighter is the bound, if q is
fitted well.
"""

import itertools

from experiments import evaluations, table

ROW = "Exemplar-CNN"
DIFFERS = {
    "paper": "99,200 steps, copies drawn anew in each, rates of a fixed schedule; svm-v1; no "
    "published numbers but that of all layers",
    "cpu": "1000 seed patches, half of the channels, 3000 steps of Adam in bfloat16 without "
    "dropout; svm-v1 on 10,000 images; only the number for all layers is published",
    "smoke": "tiny networks, 256 seed patches, 512 images, 2 epochs",
}
LAYERS = ("pooled_conv1", "pooled_conv2", "pooled_fc")
_SHORT = ("--config.compute_dtype=bfloat16", "--config.data.eval_train_images=10000")


def rows(budget: str) -> list[table.Row]:
    """One training; its evaluations are the choices."""
    config = f"configs/exemplar.py:size=small,budget={budget}"
    return [
        table.Row(
            ROW,
            config,
            _SHORT if budget == "cpu" else (),
            seeds=(0,) if budget == "smoke" else (0, 1, 2),
            differs=DIFFERS[budget],
            evals=evaluations.representations(config),
        )
    ]


def directions(rows) -> list[table.Direction]:
    """What the reading as a bound says of these choices."""
    del rows

    def accuracy(tap: str, evaluation: str = "svm") -> tuple[str, ...]:
        return (evaluation, tap, "accuracy")

    def nats(tap: str) -> tuple[str, ...]:
        return ("surrogate", tap, "bound")

    claims = {
        "the mean over copies above the image as it is": (accuracy("y", "svm_mean"), accuracy("y")),
        "the mean over copies above one copy": (
            accuracy("y", "svm_mean"),
            accuracy("y", "svm_one"),
        ),
        "all layers above y": (accuracy("pooled"), accuracy("y")),
        **{
            f"all layers above {layer} alone": (accuracy("pooled"), accuracy(layer))
            for layer in LAYERS
        },
        **{
            f"a deeper layer has the looser bound: {below} above {above}": (
                nats(below),
                nats(above),
            )
            for below, above in itertools.pairwise(LAYERS)
        },
    }
    return [table.Direction(claim, ROW, ROW, *pair) for claim, pair in claims.items()]


if __name__ == "__main__":
    table.main("exemplar_representations", rows, DIFFERS, directions)
