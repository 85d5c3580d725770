"""A run folder belongs to one config."""

import pytest

from dim_jax import contracts
from dim_jax.rundir import workdir

CONFIG = {"seed": 0, "train": {"epochs": 2, "warmup": 5, "keep": 2}}


@pytest.fixture
def folder(tmp_path):
    made = workdir.Workdir(str(tmp_path / "run"))
    made.claim(CONFIG)
    return made


@pytest.mark.parametrize(
    ("train", "difference"),
    [
        ({"epochs": 3, "warmup": 5, "keep": 2}, "train.epochs is 2 there and 3 here"),
        ({"epochs": 2, "keep": 2}, "train.warmup is 5 there and not set here"),
        (
            {"epochs": 2, "warmup": 5, "keep": 2, "decay": 1},
            "train.decay is not set there and 1 here",
        ),
    ],
)
def test_keys_that_changed_came_or_went_are_named(folder, train, difference):
    with pytest.raises(contracts.UserError, match=difference):
        folder.check({**CONFIG, "train": train})


def test_what_is_no_part_of_an_experiment_may_change(folder):
    folder.check({**CONFIG, "train": {**CONFIG["train"], "keep": 7}})
    folder.check(CONFIG)
