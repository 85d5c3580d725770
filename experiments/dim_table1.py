"""Table 1 of Deep InfoMax: accuracy of an MLP on conv, fc and y, of DIM and of its baselines.

    python -m experiments.dim_table1 --budget=cpu

`paper` is the published setting and wants an accelerator; `long` takes an hour or two for each row
on two cores; `cpu` is one epoch of CIFAR-10 for each row, with three seeds for y, and was measured
with the concat critic of Table 6 for DIM(G), where the others have the released dot product;
`smoke` only shows that all rows run. Prints the order of the rows beside the published one.
"""

import dataclasses
from collections.abc import Iterable

from experiments import evaluations, table

DIFFERS = {
    "paper": "one seed; the published number of seeds is not printed",
    "long": "epochs, batch, rate, critics and decoders of the long budget; one seed; "
    "mlp-v1, of y mlp-paper-v1 too; minutes on a shared machine",
    "cpu": "1 epoch in bfloat16, rates of the cpu budget, narrow decoders and critics; mlp-v1",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
SEEDS = {"paper": (0,), "long": (0,), "cpu": (0, 1, 2), "smoke": (0,)}
DIM = {  # the scores of the paper's table are dot products
    "DIM(G)": "global,critic=dot,bound=jsd",
    "DIM(L) DV": "local,bound=dv",
    "DIM(L) JSD": "local,bound=jsd",
    "DIM(L) InfoNCE": "local,bound=infonce",
}
BASELINES = {
    "Fully supervised": "supervised.py:",
    "VAE": "vae.py:vae,",
    "AE": "ae.py:",
    "beta-VAE": "vae.py:beta_vae,",
    "AAE": "aae.py:",
    "BiGAN": "bigan.py:",
    "NAT": "nat.py:",
}
WITH_DECODERS = ("VAE", "AE", "beta-VAE", "AAE", "BiGAN")
_CONTROLLED = "VAE"
_LATER = ("--config.evals.mlp.taps=('y',)",)
_LATER_CONTROLLED = (*_LATER, "--config.evals.mlp.representations=('trained',)")
_NOT_DECODED = ("--config.evals.generative.representations=()",)
# DV's log of a mean over negatives is biased less with more of them.
_LARGER_BATCHES = {("long", "DIM(L) DV"): ("--config.train.batch_size=512",)}
# The recipe of the other bounds for those with small batches.
_BATCH_256 = (
    "--config.train.batch_size=256",
    "--config.train.steps_per_dispatch=39",
    "--config.players.encoder.learning_rate=1.5e-3",
    "--config.players.discriminator.learning_rate=1.5e-3",
    "--config.method.method.local_critic.norm_anchors=True",
)
_SHORT = ("--config.train.epochs=1", "--config.compute_dtype=bfloat16")


def rows(budget: str) -> list[table.Row]:
    """All rows of CIFAR-10, and but for `cpu` of CIFAR-100, under one budget."""
    data = ["cifar10"] if budget in ("long", "cpu") else ["cifar10", "cifar100"]
    titles = dict(cifar10="CIFAR-10", cifar100="CIFAR-100")
    found = [
        table.Row(
            f"{label}, {titles[name]}" if len(data) > 1 else label,
            config,
            _SHORT if budget == "cpu" else _LARGER_BATCHES.get((budget, label), ()),
            seeds=SEEDS[budget],
            differs=DIFFERS[budget],
            evals=evaluations.mlp(config),
        )
        for name in data
        for label, config in commands(name, f"budget={budget}")
    ]
    if budget == "long":
        small = [row for row in found if row.label in ("DIM(L) JSD", "DIM(L) InfoNCE")]
        found += [
            dataclasses.replace(row, label=f"{row.label}, batch 256", overrides=_BATCH_256)
            for row in small
        ]
        return [_with_published_mlp(row) for row in found]
    return [_short(row) for row in found] if budget == "cpu" else found


def _with_published_mlp(row: table.Row) -> table.Row:
    """A row whose y, if the MLP judges it, is judged by the published protocol too.

    Its 782,000 steps take about ten minutes of one core on 64 features, and hours on conv.
    """
    published = evaluations.load(row.config).published
    if "y" not in published.get("mlp", {}):
        return row
    paper = evaluations.as_published("mlp")["mlp_paper"] | dict(taps=("y",))
    numbers = {**published.to_dict(), "mlp_paper": {"y": published["mlp"]["y"]}}
    return dataclasses.replace(row, evals={**row.evals, "mlp_paper": paper}, published=numbers)


def _short(row: table.Row) -> table.Row:
    """A row of `cpu`: three seeds of y, and the controls once, as they are nearly the same for all.

    They stand at the first row that trains all taps; the supervised one has the tap conv alone.
    """
    if row.label == "Fully supervised":
        return dataclasses.replace(row, evals=evaluations.trained(row.config), seeds=(0,))
    controlled = row.label == _CONTROLLED
    evals = evaluations.controlled if controlled else evaluations.trained
    later = _LATER_CONTROLLED if controlled else _LATER
    later += _NOT_DECODED if row.label in WITH_DECODERS else ()
    return dataclasses.replace(row, evals=evals(row.config), later=later)


def commands(data: str, words: str) -> Iterable[tuple[str, str]]:
    """(label, config with its words) of every baseline, then of DIM(G) and DIM(L)."""
    for label, config in BASELINES.items():
        yield label, f"configs/{config}data={data},{words}"
    for label, own in DIM.items():
        if words.endswith("budget=cpu"):  # measured with the concat critic
            own = own.replace("critic=dot,", "")
        yield label, f"configs/dim_{data}.py:{own},{words}"


if __name__ == "__main__":
    table.main("dim_table1", rows, DIFFERS)
