"""The rows of the tables name configs that exist, and every row is another one."""

import json

import pytest

from dim_jax import build, commandline, settings
from dim_jax.evaluate import suite
from dim_jax.rundir import provenance
from experiments import (
    amdim_ablations,
    baselines_own_terms,
    dim_a6_beta_vae,
    dim_figure9,
    dim_figure10,
    dim_figure11,
    dim_long_choice,
    dim_sigreg_prior,
    dim_table1,
    dim_table2,
    dim_table3,
    dim_table4,
    dim_table5,
    table,
)

WITH_DIRECTIONS = [
    amdim_ablations,
    baselines_own_terms,
    dim_a6_beta_vae,
    dim_table3,
    dim_table4,
    dim_table5,
    dim_figure9,
    dim_figure10,
    dim_figure11,
    dim_sigreg_prior,
]
TABLES = [dim_table1, dim_table2, *WITH_DIRECTIONS]
CASES = [(module, budget) for module in TABLES for budget in ("paper", "cpu", "smoke")]
CASES += [(module, "long") for module in TABLES if "long" in module.DIFFERS]
CASES += [(dim_long_choice, budget) for budget in dim_long_choice.DIFFERS]


@pytest.mark.parametrize(("module", "budget"), CASES)
def test_rows_are_configs(module, budget, monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)
    rows = module.rows(budget)
    assert len({table.folder(row, 0) for row in rows}) == len(rows)
    assert len({row.label for row in rows}) == len(rows)
    for row in rows:
        assert row.differs and row.seeds
        evals = [] if row.evals is None else [f"--evals={json.dumps(row.evals)}"]
        command = ["main.py", f"--config={row.config}", *row.overrides, *row.later, *evals]
        config = commandline.parse(command).config
        build.make("method", config["method"])
        suite.check(config["evals"])


@pytest.mark.parametrize("module", WITH_DIRECTIONS)
@pytest.mark.parametrize("budget", ["paper", "cpu"])
def test_directions_compare_rows_that_exist(module, budget):
    rows = module.rows(budget)
    directions = module.directions(rows)
    assert directions
    for direction in directions:
        assert {direction.larger, direction.smaller} <= {row.label for row in rows}


def test_published_numbers_stand_beside_the_rows_they_belong_to(monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)

    def published(words):
        config = commandline.parse(["main.py", f"--config=configs/dim_cifar10.py:{words}"]).config
        return config["published"], config["published_source"]

    for prior in ("none", "gaussian", "sigreg"):
        assert published(f"local,bound=jsd,prior={prior}")[0] == {}
    assert published("local,bound=infonce,layer=first")[0] == {}
    assert published("local,bound=infonce,critic=concat")[0] == {}
    for critic in ("by_term", "dot"):
        assert published(f"global,bound=jsd,critic={critic}")[0]["mlp_paper"]["y"] == 43.17
    found, source = published("local,bound=infonce,tasks=occlude")
    assert found == {"mlp_paper": dict(conv=76.77, fc=74.45, y=72.87)}
    assert source.endswith("Table 5")
    assert published("local,bound=jsd,tasks=occlude")[0] == {}
    found, source = published("local,bound=infonce")
    assert found["mlp_paper"]["y"] == 69.13 and source.endswith("Table 1")
    assert published("local,bound=infonce,budget=cpu")[0]["mlp"]["y"] == 69.13


@pytest.mark.parametrize("budget", ["paper", "long", "cpu"])
def test_published_numbers_of_table_4(budget):
    rows = {row.label: row for row in dim_table4.rows(budget)}
    local = rows["DIM(L)"].published
    assert local["svm"]["y"] == 49.62 and local["ndm_paper"]["y/ndm_after_sigmoid"] == 0.18
    assert not {"ndm", "ndm_unscaled"} & local.keys()  # other forms of the measure
    assert local["svm_hinge"] == local["svm"] == local["svm_squared_hinge"]
    msssim = "msssim_paper" if budget == "paper" else "msssim"
    assert rows["VAE"].published[msssim] == {"y/ssim_dim_compat": 0.72}
    for label in ("VAE", "DIM(L)"):
        assert {msssim, "ndm_paper"} <= rows[label].evals.keys()
    protocols = {
        spec["protocol"]
        for key, spec in rows["DIM(L)"].evals.items()
        if key in local and budget == "paper"
    }
    assert all("paper" in each or "hinge" in each for each in protocols)
    assert rows["DIM(L), no prior"].published == {}
    assert all(row.published is not None for row in rows.values())


def test_table_4_shares_the_long_trainings_of_table_1(monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)

    def config(module, label):
        row = {row.label: row for row in module.rows("long")}[label]
        command = ["main", f"--config={row.config}", f"--evals={json.dumps(row.evals)}"]
        return commandline.parse(command).config

    pairs = {"DIM(G)": "DIM(G)", "DIM(L)": "DIM(L) JSD", "VAE": "VAE", "AAE": "AAE"}
    for label, there in {**pairs, "BiGAN": "BiGAN", "NAT": "NAT"}.items():
        differences = provenance.differences(config(dim_table1, there), config(dim_table4, label))
        assert {settings.scope(key) for key in differences} == {"evaluation"}
    rows = {row.label: row.evals for row in dim_table4.rows("long")}
    controlled = [label for label, evals in rows.items() if "untrained" in str(evals)]
    assert controlled == ["DIM(L)"] and "svm_permuted" not in rows["DIM(G)"]


def test_the_batches_that_long_had_before_are_rows(monkeypatch, pytestconfig):
    """With them InfoNCE and JSD have one recipe, that of other bounds."""
    monkeypatch.chdir(pytestconfig.rootpath)
    rows = {row.label: row for row in dim_table1.rows("long")}

    def config(row):
        return commandline.parse(["main", f"--config={row.config}", *row.overrides]).config

    first, *others = (
        config(rows[f"DIM(L) {name}"]) for name in ("JSD, batch 256", "InfoNCE, batch 256", "DV")
    )
    bound, batch = "method.method.bound.name", "train.batch_size"
    for other, changed in zip(others, ({bound}, {bound, batch}), strict=True):
        differences = provenance.differences(first, other)
        assert {key for key in differences if "published" not in key} == changed


def test_the_published_mlp_judges_y_in_long_rows():
    rows = {row.label: row for row in dim_table1.rows("long")}
    row = rows["DIM(L) InfoNCE"]
    assert row.evals["mlp_paper"]["taps"] == ("y",)
    assert row.published["mlp_paper"] == {"y": 69.13} and row.published["mlp"]["conv"] == 75.21
    # The supervised network has no y that is judged.
    assert rows["Fully supervised"].published is None


def test_one_row_of_table_1_has_the_controls_of_all_taps():
    """That of a method that trains all taps; the supervised row is judged by its classifier."""
    rows = {row.label: row for row in dim_table1.rows("cpu")}
    controlled = [label for label, row in rows.items() if "pca" in str(row.evals["mlp"])]
    assert controlled == ["VAE"]
    assert all("representations=('trained',)" in text for text in rows["VAE"].later[1:2])
    assert "own_classifier" in rows["Fully supervised"].evals
    assert rows["Fully supervised"].seeds == (0,) and rows["AE"].seeds == (0, 1, 2)


def test_critics_of_the_rows_are_the_published_ones():
    """Table 4 and the ablations have concat, Table 1 dot products."""
    for module in (dim_table4, dim_figure10, dim_figure11):
        rows = [row.config for row in module.rows("paper") if "configs/dim_" in row.config]
        assert rows and all("critic=concat" in config for config in rows)
    configs = {row.label: row.config for row in dim_table1.rows("long")}
    assert "global,critic=dot,bound=jsd" in configs["DIM(G)"]
    changed = {row.label: row.overrides for row in dim_table1.rows("long") if row.overrides}
    before = {f"DIM(L) {bound}, batch 256" for bound in ("JSD", "InfoNCE")}
    assert changed.keys() == {"DIM(L) DV", *before}
    assert changed["DIM(L) DV"] == ("--config.train.batch_size=512",)


def test_rows_that_were_measured_are_those_of_the_results():
    """Earlier versions chose the evaluations by a word of the config."""
    for module in (amdim_ablations, dim_table1, dim_table4, dim_table5, dim_figure9):
        name = module.__name__.rpartition(".")[2]
        content = json.loads((table.RESULTS / f"{name}_cpu.json").read_text())
        rows = module.rows("cpu")
        for measured in content["rows"]:
            assert sum(table._is(row, measured) for row in rows) == 1, measured["label"]
