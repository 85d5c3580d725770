import pytest

from dim_jax import contracts
from dim_jax.evaluate import discovery

RENAMED = {
    "classifier": "own_classifier",
    "embedding": "manifold_layers",
    "map2d": "tsne",
    "surrogate": "exemplar_bound",
    "uniformity": "prior_fit",
    "views": "training_views",
}


def test_evaluations_are_the_modules_of_three_rooms():
    names = discovery.names()
    assert {"mlp", "ndm", "filters"} <= set(names)
    assert not {"labelled", "networks", "critic_fit", "ssim", "drawing"} & set(names)


@pytest.mark.parametrize(("former", "present"), RENAMED.items())
def test_former_names_are_valid(former, present):
    assert discovery.current(former) == present == discovery.current(present)
    assert discovery.load(former) is discovery.load(present)


def test_unknown_names():
    with pytest.raises(contracts.UserError, match="unknown evaluation 'mpl': did you mean 'mlp'"):
        discovery.load("mpl")
