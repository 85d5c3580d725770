"""Contrastive multiview coding on CIFAR-10: which views, which graph, which loss, and the control.

    python -m experiments.cmc_views --budget=cpu

The paper's claims: encoders of two views together are better than each of them, a full graph of
three views is better than a core, the softmax is better than NCE (official README: by 0.6 points
of ImageNet). Ours: views that are paired at random teach no more than chance, so that the MLP finds
no more in them than in the untrained encoder, and neither view retrieves the other. CMC has no
published numbers for CIFAR-10.
"""

from experiments import evaluations, table

_DATA = "CIFAR-10 instead of ImageNet, half of DIM's encoder for each view, an MLP as the probe"
DIFFERS = {
    "paper": f"{_DATA}; temperature 0.1",
    "long": f"{_DATA}; temperature 0.1; 20 epochs of batch 128 by Adam",
    "cpu": f"{_DATA}; temperature 0.1; 3 epochs of batch 128 by Adam in bfloat16, 1024 negatives",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
_SHORT = ("--config.train.epochs=3", "--config.compute_dtype=bfloat16")
PLAIN, RANDOM = "L, ab: softmax", "L, ab: softmax, random pairs"
YCBCR, CORE, FULL = "Y, CbCr: softmax", "L, a, b: core", "L, a, b: full"
BANK, NCE = "L, ab: bank", "L, ab: NCE"
VIEWS = {YCBCR: ("Y", "CbCr"), CORE: ("L", "a", "b"), FULL: ("L", "a", "b")}
WORDS = {
    PLAIN: "",
    YCBCR: "space=ycbcr,",
    CORE: "views=three,graph=core,",
    FULL: "views=three,graph=full,",
    BANK: "loss=bank,",
    NCE: "loss=nce,",
    RANDOM: "pairing=random,",
}
# Untrained encoders where a direction needs them; those of the other rows are alike.
WITH_CONTROLS = (PLAIN, RANDOM)


def rows(budget: str) -> list[table.Row]:
    """All rows under one budget."""
    return [
        table.Row(
            label,
            config,
            _short(label) if budget == "cpu" else (),
            seeds=(0, 1) if budget == "long" else (0,),
            differs=DIFFERS[budget],
            evals=None if label in WITH_CONTROLS else evaluations.trained(config),
        )
        for label, words in WORDS.items()
        for config in [f"configs/cmc.py:data=cifar10,{words}budget={budget}"]
    ]


def _short(label: str) -> tuple[str, ...]:
    """Overrides of `cpu`, which also leaves out the maps: thousands of numbers for the probes."""
    taps = ("y", *(f"y_{view}" for view in VIEWS.get(label, ("L", "ab"))))
    return (*_SHORT, f"--config.evals.mlp.taps={taps}")


def directions(rows) -> list[table.Direction]:
    """What the paper says of these rows, and what the controls have to show."""
    del rows
    y = ("mlp", "y", "accuracy")
    retrieval = ("retrieval", "L_to_ab", "retrieval")
    each = [
        table.Direction(
            f"both views above {view} alone", PLAIN, PLAIN, y, ("mlp", f"y_{view}", "accuracy")
        )
        for view in ("L", "ab")
    ]
    return [
        *each,
        table.Direction("trained above untrained", PLAIN, PLAIN, y, (*y, "untrained")),
        table.Direction("matched pairs above random pairs", PLAIN, RANDOM, y),
        table.Direction(
            "random pairs do not help: untrained above trained",
            RANDOM,
            RANDOM,
            (*y, "untrained"),
            y,
        ),
        table.Direction(
            "retrieval of ab from L: matched pairs above random", PLAIN, RANDOM, retrieval
        ),
        table.Direction("full graph above core", FULL, CORE, y),
        table.Direction("YCbCr above Lab", YCBCR, PLAIN, y),
        table.Direction("softmax over a bank above NCE", BANK, NCE, y),
    ]


if __name__ == "__main__":
    table.main("cmc_views", rows, DIFFERS, directions)
