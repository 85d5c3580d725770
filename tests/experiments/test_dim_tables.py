"""The rows of the tables name configs that exist, and every row is another one."""

import pytest

from dim_jax import build, commandline
from experiments import dim_table1, dim_table5


@pytest.mark.parametrize("module", [dim_table1, dim_table5])
@pytest.mark.parametrize("budget", ["paper", "cpu", "smoke"])
def test_rows_are_configs(module, budget, monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)
    rows = module.rows(budget)
    assert len({row.config for row in rows}) == len({row.label for row in rows}) == len(rows)
    for row in rows:
        assert row.differs and row.seeds
        build.make("method", config_of(row.config)["method"])


def config_of(path):
    return commandline.parse(["main.py", f"--config={path}"]).config
