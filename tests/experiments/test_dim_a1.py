"""The discrete study: exact quantities on laws where they are known, and its claim."""

import json
import math

import numpy as np

from experiments import dim_a1_jsd_vs_mi as study


def test_dependence_of_known_tables():
    # Systems sheet: joint [[0.4, 0.1], [0.1, 0.4]].
    information, shannon = study.dependence(np.array([[0.8, 0.2], [0.2, 0.8]]))
    np.testing.assert_allclose([information, shannon], [0.192745, 0.101344], atol=1e-6)
    information, shannon = study.dependence(np.eye(8))
    np.testing.assert_allclose([information, shannon], [math.log(8), 0.9938582532964797])
    np.testing.assert_allclose(study.dependence(np.full((4, 4), 0.25)), [0, 0], atol=1e-12)


def test_conditionals_are_laws():
    random = np.random.default_rng(0)
    for size in study.SIZES:
        table = study.conditional(random, size)
        assert table.shape == (size, size) and (table >= 0).all()
        np.testing.assert_allclose(table.sum(1), 1.0)


def test_divergence_ranks_as_information_does(tmp_path):
    study.run("smoke", tmp_path)
    rows = json.loads((tmp_path / "dim_a1_jsd_vs_mi.json").read_text())["rows"]
    assert [row["size"] for row in rows] == list(study.SIZES)
    for row in rows:
        assert row["spearman"] > 0.99 and row["tables_where_guarantee_fails"] == 0
        assert 0.5 < row["share_of_information_guaranteed"] < 1
    assert (tmp_path / "dim_a1_jsd_vs_mi.png").stat().st_size > 10_000
