"""The budget `long`: which configs have it, and that it lies between `cpu` and `paper`."""

import config_files
import pytest

from dim_jax import settings

EPOCHS = {
    **{"dim_cifar10": 60, "dim_cifar100": 60},
    **dict.fromkeys(("ae", "vae", "aae", "bigan", "nat", "supervised"), 25),
    **{"dim_strided": 20, "cpc_strided": 20, "cmc": 20},
    **{"amdim_cifar10": 40, "amdim_cifar100": 40},
    "exemplar": 240,  # of 62 steps
}
BUDGETS = ("long", "cpu")


@pytest.mark.parametrize("name", config_files.NAMES)
def test_configs_with_a_long_budget(name):
    if name not in EPOCHS:
        with pytest.raises(settings.UserError, match="unknown config argument"):
            config_files.load(name, "budget=long")
        return
    paper, long, cpu = (
        config_files.load(name, f"budget={budget}") for budget in ("paper", "long", "cpu")
    )
    settings.Config.of(long)
    epochs = [found["train"]["epochs"] for found in (cpu, long, paper)]
    assert epochs[1] == EPOCHS[name] and epochs[0] < epochs[1] < epochs[2]
    assert long["train"]["save_epochs"] == (5 if name == "exemplar" else 1)
    assert long["players"].keys() == paper["players"].keys()
    assert long["data"] == paper["data"] and long["augment"] == paper["augment"]


def test_larger_batches_have_a_higher_rate_after_a_warm_up():
    long, cpu = (config_files.load("dim_cifar10", f"bound=dv,budget={name}") for name in BUDGETS)
    assert (long["train"]["batch_size"], cpu["train"]["batch_size"]) == (256, 64)
    assert long["method"]["method"]["local_critic"]["norm_anchors"]
    schedule = dict(name="cosine", warmup_epochs=1.0)
    for player in ("encoder", "discriminator"):
        assert long["players"][player]["learning_rate"] == 1.5e-3
        assert long["players"][player]["schedule"] == schedule
    bigan = config_files.load("bigan", "long")["players"]
    assert bigan["encoder"]["learning_rate"] == pytest.approx(7.5e-4)


@pytest.mark.parametrize("words", ["", "critic=concat", "critic=dot", "global", "mixed"])
def test_infonce_has_small_batches_and_no_norm_of_anchors(words):
    """Small batches if there is a local term alone, and no norm where the critic has one."""
    long, cpu = (config_files.load("dim_cifar10", f"{words},budget={name}") for name in BUDGETS)
    local = words not in ("global", "mixed")
    assert long["train"]["batch_size"] == (64 if local else 256)
    assert long["players"]["encoder"]["learning_rate"] == (1e-3 if local else 1.5e-3)
    norms = [found["method"]["method"]["local_critic"].get("norm_anchors") for found in (cpu, long)]
    assert norms == ([None, None] if words == "critic=concat" else [True, False])
    jsd = config_files.load("dim_cifar10", f"{words},bound=jsd,budget=long")
    assert jsd["train"]["batch_size"] == long["train"]["batch_size"]
    assert jsd["method"]["method"]["local_critic"].get("norm_anchors") == norms[0]


@pytest.mark.parametrize("name", ["ae", "supervised", "dim_strided", "cmc"])
def test_larger_images_have_none(name):
    with pytest.raises(settings.UserError, match="budget=long has no recipe for data=stl10: use"):
        config_files.load(name, "data=stl10,budget=long")
