"""The rows of the tables name configs that exist, and every row is another one."""

import pytest

from dim_jax import build, commandline
from dim_jax.evaluate import suite
from experiments import dim_figure9, dim_table1, dim_table4, dim_table5, table


@pytest.mark.parametrize("module", [dim_table1, dim_table4, dim_table5, dim_figure9])
@pytest.mark.parametrize("budget", ["paper", "cpu", "smoke"])
def test_rows_are_configs(module, budget, monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)
    rows = module.rows(budget)
    assert len({table.folder(row, 0) for row in rows}) == len(rows)
    assert len({row.label for row in rows}) == len(rows)
    for row in rows:
        assert row.differs and row.seeds
        config = commandline.parse(["main.py", f"--config={row.config}", *row.overrides]).config
        build.make("method", config["method"])
        suite.check(config["evals"])


@pytest.mark.parametrize("module", [dim_table4, dim_table5, dim_figure9])
@pytest.mark.parametrize("budget", ["paper", "cpu"])
def test_directions_compare_rows_that_exist(module, budget):
    rows = module.rows(budget)
    directions = module.directions(rows)
    assert directions
    for direction in directions:
        assert {direction.larger, direction.smaller} <= {row.label for row in rows}
