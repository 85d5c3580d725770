"""What several tests of estimates share."""

import pytest

from dim_jax.mi import network


@pytest.fixture
def without_network(monkeypatch):
    """Leaves the networks out, whose programs take seconds to compile."""
    nothing = network.Network({}, network.Settings(), 0.0, ())
    monkeypatch.setattr(network, "fit", lambda *arguments, **options: nothing)
