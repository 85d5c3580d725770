import pytest

from dim_jax import contracts
from dim_jax.evaluate import discovery, plan
from dim_jax.evaluate.probes import mlp, svm


def test_the_paper_protocol_is_the_published_one():
    paper = mlp.PROTOCOLS["mlp-paper-v1"]
    assert (paper.hidden, paper.dropout, paper.batch, paper.epochs) == (200, 0.1, 64, 1000)
    assert (paper.learning_rate, paper.betas, paper.milestones) == (1e-4, (0.5, 0.999), (50, 100))
    assert (paper.averaged_epochs, paper.standardise) == (100, False)


def test_misspelt_and_foreign_protocols():
    with pytest.raises(contracts.UserError, match="MLP protocol 'mlp-v11': did you mean 'mlp-v1'"):
        mlp.PROTOCOLS.find("mlp-v11")
    with pytest.raises(contracts.UserError, match="unknown SVM protocol 'mlp-v1'"):
        svm.PROTOCOLS.find("mlp-v1")


def test_no_two_evaluations_have_a_protocol_of_one_name():
    """A row of results.json has the name of its protocol alone."""
    names = [name for each in discovery.names() for name in discovery.load(each).protocols or ()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", discovery.names())
def test_the_default_is_a_protocol_of_the_evaluation(name):
    evaluation = discovery.load(name)
    assert ("protocol" in evaluation.defaults) == (evaluation.protocols is not None)
    if evaluation.protocols is not None:
        protocol = evaluation.defaults["protocol"]
        plan.parse({"key": {"name": name, "protocol": protocol}})
