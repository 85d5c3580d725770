"""Deep InfoMax with strided-crop encoders: the DIM rows of Table 3 (Hjelm et al. 2019).

    python -m dim_jax.main --config configs/dim_strided.py:globals=multiple,budget=cpu

Words: data=cifar10 | stl10; globals=single | multiple; body=published | resnet | resnet19 |
alexnet (37 or 19 layers; published is resnet on CIFAR-10 and alexnet on STL-10);
budget=paper | long | cpu | smoke.
`paper` is the published setting: 1000 epochs of CIFAR-10, 200 of STL-10, on an accelerator. `cpu`
shortens it for two cores: a quarter of the encoder's width, 19 layers unless the body says
otherwise, a narrower critic, a higher rate, 10 epochs. `smoke` takes seconds.

Metric: test accuracy of an MLP with 200 hidden units on the frozen features. Published, single and
multiple globals: CIFAR-10 80.95 and 77.51, STL-10 76.97 and 78.21. The table does not say of which
layer; they stand beside conv, the 7x7 map, and which body the CIFAR-10 row has stands in a
comment in the official code only. No budget but smoke was run.
"""

from ml_collections.config_dict import placeholder

from configs.common import infomax, strided

# Hjelm et al. 2019, Table 3 (from memory; every ordering in the text agrees).
PUBLISHED = {
    ("cifar10", "single"): 80.95,
    ("cifar10", "multiple"): 77.51,
    ("stl10", "single"): 76.97,
    ("stl10", "multiple"): 78.21,
}


def get_config(argument: str = ""):
    words = strided.parse(argument, globals=("single", "multiple"), body=strided.BODIES)
    row = {}
    if strided.body(words).startswith(strided.FAMILY[words["data"]]):
        row = dict(conv=PUBLISHED[words["data"], words["globals"]])
    smoke = {"method.method.encoder.features": 8}
    if words["globals"] == "single":
        smoke["method.method.encoder.hidden"] = 32
    return strided.config(words, method=method(words), published=dict(mlp_paper=row), smoke=smoke)


def encoder(words: dict) -> dict:
    """The encoder at the published size (official DIM code, configs/)."""
    name, spec = strided.crops(words, norm="batch")
    if words["globals"] == "multiple":
        # 192 numbers a global: convnets.py, foldmultialex64x64; on the ResNet ours.
        return dict(name=f"folded_multi_{name}", features=192, **spec)
    spec |= dict(features=64, hidden=1024)
    if strided.body(words) == "alexnet":
        spec |= dict(hidden=4096, dropout=0.1)
    return dict(name=f"folded_{name}", **spec)


def method(words: dict) -> dict:
    """DIM(L) with InfoNCE and without prior: section 4.2; all 25 globals: official DIM code."""
    block = infomax.dim(
        encoder=encoder(words),
        critic_width=strided.CRITIC_WIDTH,
        concat_width=512,
        prior="none",
    )
    unused = dict(global_critic=None, prior=None, discriminator=None, coordinates=None)
    return {**block, **unused, "sampled_globals": placeholder(int)}
