import pytest

from dim_jax import contracts
from dim_jax.evaluate import kinds, protocols


def test_the_paper_protocol_is_the_published_one():
    paper = protocols.find("mlp-paper-v1", kinds.Mlp)
    assert (paper.hidden, paper.dropout, paper.batch, paper.epochs) == (200, 0.1, 64, 1000)
    assert (paper.learning_rate, paper.betas, paper.milestones) == (1e-4, (0.5, 0.999), (50, 100))
    assert (paper.averaged_epochs, paper.standardise) == (100, False)


def test_misspelt_and_foreign_protocols():
    with pytest.raises(contracts.UserError, match="MLP protocol 'mlp-v11': did you mean 'mlp-v1'"):
        protocols.find("mlp-v11", kinds.Mlp)
    with pytest.raises(contracts.UserError, match="unknown SVM protocol 'mlp-v1'"):
        protocols.find("mlp-v1", kinds.Svm)
