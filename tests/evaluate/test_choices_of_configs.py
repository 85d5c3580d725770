"""The evaluations of configs and of experiments exist, and are those that their names promise."""

import pytest

from configs import common
from dim_jax.evaluate import suite
from experiments import evaluations

PERMUTED = {
    **{"name": "mlp", "protocol": "mlp-v1", "taps": ("y",), "permuted": True},
    "representations": ("trained",),
}
DIM = ["dim_cifar10", "dim_cifar100"]


def svms(evals: dict) -> dict[str, str]:
    return {key: spec["protocol"] for key, spec in evals.items() if spec["name"] == "svm"}


@pytest.mark.parametrize("data", DIM)
@pytest.mark.parametrize("budget", common.BUDGETS)
def test_evaluations_of_dim_on_cifar(config, data, budget):
    evals = config(data, f"budget={budget}")["evals"]
    suite.check(evals)
    assert evals["mlp_permuted"] == PERMUTED
    assert "taps" not in evals["mlp"] and set(svms(evals)) == {"svm", "svm_few"}
    assert ("mlp_paper" in evals) == (budget == "paper")
    assert evals == evaluations.of(f"configs/{data}.py:budget={budget}")


@pytest.mark.parametrize("data", DIM)
def test_choices_of_experiments(data):
    config = f"configs/{data}.py:budget=cpu"
    mlp, y = evaluations.mlp(config), evaluations.y(config)
    for evals in (mlp, y):
        suite.check(evals)
        assert evals["mlp_permuted"] == PERMUTED and not svms(evals)
    assert set(mlp) == {"mlp", "mlp_permuted", "uniformity", "neighbours", "filters"}
    assert "taps" not in mlp["mlp"] and y["mlp"]["taps"] == ("y",)
    assert {key: spec["representations"] for key, spec in evaluations.trained(config).items()} == {
        "mlp": ("trained",),
        "uniformity": ("trained",),
    }
    paper = f"configs/{data}.py:budget=paper"
    assert evaluations.y(paper)["mlp_paper"]["taps"] == ("y",)
    assert evaluations.trained(paper).keys() == {"mlp", "mlp_paper", "uniformity"}
    assert [evaluations.judge(each) for each in (paper, config)] == ["mlp_paper", "mlp"]
    assert evaluations.chosen(config, "knn", "mlp") == {
        "mlp": dict(name="mlp", protocol="mlp-v1"),
        "knn": dict(name="knn", protocol="knn-v1"),
    }


@pytest.mark.parametrize("budget", common.BUDGETS)
@pytest.mark.parametrize("name", ["dim_cifar10", "vae", "aae", "bigan", "nat"])
def test_measures_of_table_4(name, budget):
    evals = evaluations.measures(f"configs/{name}.py:budget={budget}", budget)
    suite.check(evals)
    permuted = evals.pop("svm_permuted")
    assert permuted["taps"] == ("y",) and permuted["representations"] == ("trained",)
    assert permuted["permuted"] and not {"mlp", "mlp_permuted"} & evals.keys()
    assert svms(evals) == (
        {"svm_hinge": "svm-hinge-v1", "svm_squared_hinge": "svm-squared-hinge-v1"}
        if budget == "paper"
        else {"svm": "svm-v1"}
    )
    assert {"msssim", "mine", "ndm", "ndm_unscaled", "uniformity"} <= evals.keys()
    judged = {key: spec["protocol"] for key, spec in evals.items() if key.endswith("_paper")}
    assert judged == (
        {"msssim_paper": "msssim-paper-v1", "ndm_paper": "ndm-paper-v1"}
        if budget == "paper"
        else {}
    )
    draws = evaluations.with_draws(evals)
    assert draws["ndm_of_draws_unscaled"] == dict(
        **dict(name="ndm", protocol="ndm-v2", drawn=True), representations=("trained",)
    )
    assert len(draws) - len(evals) == (3 if budget == "paper" else 2)
    assert ("generative" in evals) == (name in ("vae", "aae", "bigan"))


def test_fine_tuning_is_there_for_configs_that_ask(config):
    suite.check(common.finetuned())
    for budget, protocol in (("paper", "finetune-paper-v1"), ("cpu", "finetune-v1")):
        for name in ("dim_stl10", "ae"):
            evals = config(name, f"data=stl10,budget={budget}" if name == "ae" else budget)["evals"]
            suite.check(evals)
            assert evals["finetune"]["protocol"] == protocol
    for name in ("dim_tiny_imagenet", "dim_cifar10", "ae"):
        assert "finetune" not in config(name, "budget=cpu")["evals"]
    assert "finetune" in evaluations.mlp("configs/ae.py:data=stl10")
    assert "finetune" not in evaluations.trained("configs/ae.py:data=stl10")
