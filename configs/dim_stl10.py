"""Deep InfoMax on STL-10: the DIM rows of Table 2 (Hjelm et al. 2019).

    python -m dim_jax.main --config configs/dim_stl10.py:local,bound=infonce,budget=paper

Trained on the 105,000 labelled and unlabelled training images, random 64x64 crops of the 96x96
pixels and flips; judged on the centre crops of the 5,000 labelled training and 8,000 test images.

Words: local | global | mixed; bound=infonce | jsd | dv | gan | nwj | rkl | h2 | chi2;
tasks=plain | coord | occlude | both; budget=paper | cpu | smoke.

Metric: test accuracy of an MLP with 200 hidden units on the frozen conv, fc and y, and of the
encoder fine-tuned with the labels (column SS). Published for DIM(L) with InfoNCE 72.57/70.00/67.08
and 76.81, with JSD 72.86/70.85/65.93 and 76.96. Measured: nothing yet, in no budget; the data set
was not at hand, and the config ran on other images only.
"""

from configs.common import infomax

# Table 2, columns conv, fc and y of STL-10.
PUBLISHED = {
    ("local", "dv"): dict(conv=69.15, fc=63.81, y=61.92),
    ("local", "jsd"): dict(conv=72.86, fc=70.85, y=65.93),
    ("local", "infonce"): dict(conv=72.57, fc=70.00, y=67.08),
    ("global", "jsd"): dict(conv=42.03, fc=30.82, y=28.09),
}
# Column SS: a small network on conv, and the encoder with it, trained on the labelled images.
PUBLISHED_FINETUNED = {
    ("local", "dv"): dict(conv=71.22),
    ("local", "jsd"): dict(conv=76.96),
    ("local", "infonce"): dict(conv=76.81),
    ("global", "jsd"): dict(conv=51.36),
}


def get_config(argument: str = ""):
    smoke = "smoke" in (argument or "")
    splits = dict(train_split="train+unlabelled", test_split="test")
    if smoke:
        splits = dict(train_split="train[:256]+unlabelled[:256]", test_split="test[:256]")
    return infomax.dim_alexnet(
        argument,
        name="stl10",
        classes=10,
        crop=64,
        splits=splits,
        published=PUBLISHED,
        published_finetuned=PUBLISHED_FINETUNED,
    )
