"""Table 4 of Deep InfoMax on CIFAR-10: SVM, MS-SSIM, MINE and NDM of one encoder, all rows.

    python -m experiments.dim_table4 --budget=cpu

Published with concat-and-convolve critics, which the budgets `paper` and `smoke` have; `cpu` was
measured with encode-and-dot for the local term, as in Tables 1, 2 and 5, and `long` has dot
products throughout: its rows share the trainings of Table 1. The row without a prior is ours: the
paper says of it that NDM needs the prior. MS-SSIM is compared in the released single-scale variant,
`ssim_dim_compat`. Published NDM stands beside the published form, `ndm-paper-v1`, which takes
minutes for each number; two forms of ours stand beside it, of standardised coordinates (`ndm-v1`)
and of coordinates as they are (`ndm-v2`).
"""

from experiments import evaluations, table

_OURS = "JSD; our gamma for L+G"
DIFFERS = {
    "paper": _OURS,
    "long": "recipe of the long budget; one seed; dot products as critics; svm-v1, mine-v1 and "
    f"msssim-v1; {_OURS}",
    "cpu": "2 epochs, rate and critic width of the cpu budget; svm-v1 of y only; msssim-v1 and "
    f"NDM where a claim needs them; no MINE; encode-and-dot local critic; {_OURS}",
    "smoke": "tiny networks, 512 images, 2 epochs",
}
SEEDS = {"paper": (0,), "long": (0,), "cpu": (0, 1, 2), "smoke": (0,)}
DIM = {
    "DIM(G)": "global",
    "DIM(L+G)": "mixed",
    "DIM(L)": "local",
    "DIM(L), no prior": "local,prior=none",
}
BASELINES = {
    "VAE": "vae.py:vae",
    "AAE": "aae.py:gaussian",
    "BiGAN": "bigan.py:deterministic",
    "NAT": "nat.py:colour",
}
# NDM after the sigmoid is that of an earlier submission. MINE depends on its critic, and the
# published one is not printed, so there is nothing to compare with. The y of the SVM is the same
# for VAE and NAT, to the digit: perhaps a slip of the publication. DIM's bound is not printed; JSD
# is that of DIM(G) in Table 1.
PUBLISHED = {
    "VAE": dict(
        svm=dict(conv=53.83, fc=42.14, y=39.59),
        msssim={"y/ssim_dim_compat": 0.72},
        ndm={"y/ndm": 1.62},
    ),
    "AAE": dict(
        svm=dict(conv=55.22, fc=43.34, y=37.76),
        msssim={"y/ssim_dim_compat": 0.67},
        ndm={"y/ndm": 0.03},
    ),
    "BiGAN": dict(
        svm=dict(conv=56.4, fc=38.42, y=44.9),
        msssim={"y/ssim_dim_compat": 0.46},
        ndm={"y/ndm": 24.49},
    ),
    "NAT": dict(
        svm=dict(conv=48.62, fc=42.63, y=39.59),
        msssim={"y/ssim_dim_compat": 0.29},
        ndm={"y/ndm": 0.02},
    ),
    "DIM(G)": dict(
        svm=dict(conv=46.8, fc=28.79, y=29.08),
        msssim={"y/ssim_dim_compat": 0.49},
        ndm={"y/ndm": 9.96, "y/ndm_after_sigmoid": 0.35},
    ),
    "DIM(L+G)": dict(
        svm=dict(conv=57.55, fc=45.56, y=18.63),
        msssim={"y/ssim_dim_compat": 0.53},
        ndm={"y/ndm": 22.89, "y/ndm_after_sigmoid": 0.5},
    ),
    "DIM(L)": dict(
        svm=dict(conv=63.25, fc=54.06, y=49.62),
        msssim={"y/ssim_dim_compat": 0.37},
        ndm={"y/ndm": 9.18, "y/ndm_after_sigmoid": 0.18},
    ),
}
# (claim, the row with the larger value, that with the smaller one, which value)
NDM_CLAIMS = (
    (
        "NDM after the sigmoid: lower with the prior",
        *("DIM(L), no prior", "DIM(L)", "ndm_after_sigmoid"),
    ),
    ("NDM: VAE above AAE", "VAE", "AAE", "ndm"),
    ("NDM: BiGAN above VAE", "BiGAN", "VAE", "ndm"),
    ("NDM: VAE above NAT", "VAE", "NAT", "ndm"),
)
# What a direction needs of each row, and the controls once: all of it for every row takes longer
# than the training.
MEASURED_ON_CPU = {
    "DIM(G)": ("svm",),
    "DIM(L+G)": ("svm", "msssim"),
    "DIM(L)": ("svm", "msssim", "ndm"),
    "DIM(L), no prior": ("svm", "ndm"),
    **{label: ("svm", "ndm") for label in BASELINES},
}
_CONTROLLED = "DIM(L)"  # the row of `long` beside which the controls stand, the same for all
DIFFERS_OF_BASELINES = {
    "paper": "one seed; five SVMs by hinge and squared hinge",
    "long": "25 epochs of the long recipe, narrow decoders; one seed; svm-v1, mine-v1, msssim-v1",
    "cpu": "1 epoch in bfloat16, rates of the cpu budget, narrow decoders; svm-v1 of y",
    "smoke": DIFFERS["smoke"],
}


def rows(budget: str) -> list[table.Row]:
    """The baselines and the DIM rows under one budget."""
    words = f"budget={budget}"
    found = [
        _row(label, f"configs/{own},data=cifar10,{words}", budget, (0,), DIFFERS_OF_BASELINES)
        for label, own in BASELINES.items()
    ]
    found += [
        _row(
            label,
            f"configs/dim_cifar10.py:{own},bound=jsd,{_critic(own, budget)}{words}",
            *(budget, SEEDS[budget]),
        )
        for label, own in DIM.items()
    ]
    return [*found, _controls()] if budget == "cpu" else found


def _critic(terms: str, budget: str) -> str:
    """The word of the critic; without one only the local term has dot products."""
    if budget == "cpu" or (budget == "long" and terms.startswith("local")):
        return ""
    return "critic=dot," if budget == "long" else "critic=concat,"


def _row(label: str, config: str, budget: str, seeds, differs=DIFFERS) -> table.Row:
    measures = evaluations.measures_of_draws if label == "VAE" else evaluations.measures
    evals, overrides, later = measures(config, budget), (), ()
    if budget == "cpu":
        evals = _forms_of_ndm(evals, "ndm" in MEASURED_ON_CPU[label])
        later = ("--config.evals.ndm_paper.representations=()",) if "ndm_paper" in evals else ()
        epochs = 1 if label in BASELINES else 2
        overrides = _measured(MEASURED_ON_CPU[label], ("trained",), epochs)
        overrides += ("--config.compute_dtype=bfloat16",) if label in BASELINES else ()
    if budget == "long":
        evals |= evaluations.as_published("ndm")
        if label != _CONTROLLED:
            evals = evaluations.uncontrolled(evals)
    published = dict(PUBLISHED.get(label, {}))
    if published:
        published |= {f"svm_{loss}": published["svm"] for loss in evaluations.HINGES}
        published["ndm_paper"] = published.pop("ndm")
    if published and budget == "paper":
        published["msssim_paper"] = published.pop("msssim")
    return table.Row(
        label,
        config,
        overrides,
        seeds=seeds,
        differs=differs[budget],
        later=later,
        evals=evals,
        published=published,
    )


def _forms_of_ndm(evals: evaluations.Evals, measured: bool) -> evaluations.Evals:
    """Of NDM all forms, of the trained encoder, or none but `ndm`, which overrides choose."""
    kept = {key: spec for key, spec in evals.items() if key == "ndm" or spec["name"] != "ndm"}
    if not measured:
        return kept
    trained = dict(representations=("trained",))
    forms = {key: spec | trained for key, spec in evals.items() if spec["name"] == "ndm"}
    return kept | forms | evaluations.as_published("ndm")


def _controls() -> table.Row:
    """Untrained encoder, pixels and PCA; the one step of training is not measured."""
    overrides = _measured(("svm", "msssim", "ndm"), ("untrained",), 0.001)
    everything = "--config.evals.svm.representations=('untrained','pixels','pca')"
    config = "configs/dim_cifar10.py:local,bound=jsd,budget=cpu"
    evals = evaluations.measures(config, "cpu")
    evals["ndm_unscaled"]["representations"] = ("untrained",)
    return table.Row(
        "controls",
        config,
        (
            *overrides[2:],
            "--config.train.epochs=0.001",
            "--config.evals.svm.taps=('y',)",
            everything,
        ),
        differs="not trained",
        evals=evals,
        published={},
    )


def _measured(
    names: tuple[str, ...], representations: tuple[str, ...], epochs: float
) -> tuple[str, ...]:
    return (
        f"--config.train.epochs={epochs}",
        "--config.evals.svm.taps=('y',)",
        *(
            f"--config.evals.{name}.representations={representations if name in names else ()}"
            for name in ("svm", "msssim", "mine", "ndm")
        ),
    )


def directions(rows) -> list[table.Direction]:
    """What Table 4 and the text around it say of these rows."""
    paper = "budget=paper" in rows[0].config
    svm, msssim = ("svm_hinge", "msssim_paper") if paper else ("svm", "msssim")
    return [
        table.Direction("SVM at y: L above G", "DIM(L)", "DIM(G)", (svm, "y", "accuracy")),
        table.Direction(
            "released MS-SSIM: L+G above L",
            "DIM(L+G)",
            "DIM(L)",
            (msssim, "y", "ssim_dim_compat"),
        ),
        table.Direction("MS-SSIM: L+G above L", "DIM(L+G)", "DIM(L)", (msssim, "y", "ms_ssim")),
        table.Direction("SVM at y: BiGAN above VAE", "BiGAN", "VAE", (svm, "y", "accuracy")),
        *(
            table.Direction(f"{claim}, {form}", larger, smaller, (key, "y", metric))
            for key, form in {"ndm_paper": "as published", "ndm_unscaled": "ndm-v2"}.items()
            for claim, larger, smaller, metric in NDM_CLAIMS
        ),
    ]


if __name__ == "__main__":
    table.main("dim_table4", rows, DIFFERS, directions)
