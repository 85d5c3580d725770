"""The evaluations that configs choose are ones that exist, and those that the words promise."""

import pytest

from configs import common
from dim_jax.evaluate import suite

PERMUTED = {"name": "mlp", "protocol": "mlp-v1", "taps": ("y",), "permuted": True}


@pytest.mark.parametrize("data", ["dim_cifar10", "dim_cifar100"])
@pytest.mark.parametrize("judge", ["all", "mlp", "trained", "y", "table4"])
@pytest.mark.parametrize("budget", common.BUDGETS)
def test_words_of_dim_on_cifar(config, data, judge, budget):
    evals = config(data, f"judge={judge},budget={budget}")["evals"]
    suite.check(evals)
    permuted = evals.pop("svm_permuted", None)
    svms = {key: spec["protocol"] for key, spec in evals.items() if spec["name"] == "svm"}
    if judge == "table4":
        assert "mlp_permuted" not in evals and permuted["permuted"]
        assert permuted["taps"] == ("y",) and permuted["representations"] == ("trained",)
        assert svms == (
            {"svm_hinge": "svm-hinge-v1", "svm_squared_hinge": "svm-squared-hinge-v1"}
            if budget == "paper"
            else {"svm": "svm-v1"}
        )
        return
    if judge == "trained":
        assert {key: spec["representations"] for key, spec in evals.items()} == {
            "mlp": ("trained",),
            "uniformity": ("trained",),
        }
        return
    assert evals["mlp_permuted"] == {**PERMUTED, "representations": ("trained",)}
    assert evals["mlp"].get("taps") == (("y",) if judge == "y" else None)
    assert set(svms) == ({"svm", "svm_few"} if judge == "all" else set())


def test_fine_tuning_is_there_for_configs_that_ask(config):
    for budget in common.BUDGETS:
        suite.check(common.finetuned(budget))
    assert common.finetuned("paper")["finetune"]["protocol"] == "finetune-paper-v1"
    assert common.finetuned("cpu")["finetune"]["protocol"] == "finetune-v1"
    for budget, protocol in (("paper", "finetune-paper-v1"), ("cpu", "finetune-v1")):
        assert config("dim_stl10", f"budget={budget}")["evals"]["finetune"]["protocol"] == protocol
    assert "finetune" not in config("dim_tiny_imagenet", "budget=cpu")["evals"]
    assert "finetune" not in config("dim_cifar10", "budget=paper")["evals"]
