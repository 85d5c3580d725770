"""The claims of the table of shiftMNIST, and the choice of its strengths."""

import json

from configs import shiftmnist
from experiments import fragments, manifold_shiftmnist, manifold_shiftmnist_choice, table


def row(label, **accuracies):
    cells = [
        dict(tap=split, value=sum(values) / len(values), values=values)
        for split, values in accuracies.items()
    ]
    return dict(label=label, measures=cells)


def test_falls_are_in_points():
    rows = [
        row("2-layer CNN, location", test=[1.0, 0.99], clean=[0.7, 0.75]),
        row("2-layer CNN (max I + H), location", test=[0.98, 0.96], clean=[0.9, 0.8]),
    ]
    verdicts = manifold_shiftmnist.decide({"rows": rows})
    assert [(v["points"], v["verdict"]) for v in verdicts] == [
        (27.0, "hit"),  # 99.5 - 72.5
        (2.5, "hit"),  # 99.5 - 97
        (12.0, "hit"),  # 97 - 85, at most 13.5
    ]
    assert {v["pixel"] for v in verdicts} == {"location"}
    rows[1] = row("2-layer CNN (max I + H), location", test=[0.96], clean=[0.8])
    verdicts = manifold_shiftmnist.decide({"rows": rows})
    assert [v["verdict"] for v in verdicts] == ["hit", "miss", "miss"]
    alone = manifold_shiftmnist.decide({"rows": rows[:1]})
    assert [(v["points"], v["verdict"]) for v in alone] == [(27.0, "hit")]
    assert manifold_shiftmnist.decide({"rows": rows[1:]}) == []
    for each in rows:
        each["label"] = each["label"].replace("location", "spread, grey")
    assert {v["pixel"] for v in manifold_shiftmnist.decide({"rows": rows})} == {"spread, grey"}


def test_the_strongest_candidate_that_costs_little_is_chosen():
    values = {"cnn_l2 0.0001": 0.99, "cnn_l2 0.01": 0.975, "cnn_l2 0.1": 0.9, "max_i_h 10": 0.5}
    content = {"rows": [row(label, test=[value]) for label, value in values.items()]}
    assert manifold_shiftmnist_choice.chosen(content) == {
        "cnn_l2": "cnn_l2 0.01",
        "max_i_h": "max_i_h 10",
    }


def test_the_best_rate_is_chosen_and_of_equal_ones_the_smallest():
    values = {"cnn rate 0.001": 0.99, "cnn rate 0.003": 1.0, "cnn rate 0.01": 1.0}
    rows = [row(label, test=[value], clean=[0.5]) for label, value in values.items()]
    assert manifold_shiftmnist_choice.chosen({"rows": rows}) == {"cnn rate": "cnn rate 0.003"}


def test_candidates_never_see_test_images():
    rows = manifold_shiftmnist_choice.rows("cpu")
    assert all("split=validation" in each.config for each in rows)
    groups = [each.label.rpartition(" ")[0] for each in rows]
    rates = {"cnn rate": 4, "linear rate": 6, "max_i_h rate": 4}
    strengths = {"cnn_l2": 4, "linear_l2": 4, "max_i": 4, "max_i_h": 4}
    assert {group: groups.count(group) for group in groups} == rates | strengths


def test_the_config_has_the_rates_and_strengths_that_were_chosen():
    path = table.RESULTS / "manifold_shiftmnist_choice_cpu.json"
    content = json.loads(path.read_text())
    chosen = manifold_shiftmnist_choice.chosen(content)
    measured = {row["label"] for row in content["rows"]}
    assert measured == {row.label for row in manifold_shiftmnist_choice.rows("cpu")}
    for model, kind in {"cnn": "cnn", "linear": "linear", "max_i_h": "max"}.items():
        rate = float(chosen[f"{model} rate"].rpartition(" ")[2])
        assert shiftmnist.RATES[kind] == rate
        assert rate not in {end(manifold_shiftmnist_choice.RATES[model]) for end in (min, max)}
    for model, kind in {"cnn_l2": "cnn", "linear_l2": "linear"}.items():
        assert shiftmnist.L2[kind] == float(chosen[model].rpartition(" ")[2])
    for model, weights in shiftmnist.WEIGHTS.items():
        strength = float(chosen[model].rpartition(" ")[2])
        assert weights["information"] == (strength, strength)
        assert weights["entropy"] in ((strength, strength), (0.0, 0.0))


def test_rows_differ_as_their_labels_say():
    rows = {row.label: row for row in manifold_shiftmnist.rows("cpu")}
    assert len(rows) == 33
    assert len({(row.config, row.overrides) for row in rows.values()}) == 33
    for row in rows.values():
        words = row.config.partition(":")[2]
        made = shiftmnist.get_config(words).data
        grey = row.label.endswith("grey")
        assert ("--config.data.shortcut_strength=0.5" in row.overrides) == grey
        reading = row.label.removesuffix(", grey").rpartition(", ")[2]
        spread = "spread" if reading == "spread" else "column"
        assert made.shortcut_place == spread and made.shortcut_strength == 1.0
        assert made.shortcut == ("value" if reading == "value" else "location")


def test_what_has_not_been_run_is_listed():
    rows = [table.Row("a", "", seeds=(0, 1, 2)), table.Row("b", ""), table.Row("c", "")]
    content = {"rows": [dict(label="a", seeds=[0]), dict(label="b", seeds=[0])]}
    left = manifold_shiftmnist.missing(content, rows)
    assert left == ["a (seeds 1, 2)", "c"]
    assert fragments.missing({"missing": left}) == "**Not run yet**: *a (seeds 1, 2)*, *c*."
    assert fragments.missing({}) == fragments.missing({"missing": []}) == ""


def test_claims_are_about_rows_that_there_are():
    rows = manifold_shiftmnist.rows("cpu")
    directions = manifold_shiftmnist.directions(rows)
    labels = {row.label for row in rows}
    assert {d.larger for d in directions} | {d.smaller for d in directions} <= labels
    assert len({d.claim for d in directions}) == len(directions)
    grey = [d.claim for d in directions if "grey" in d.claim]
    assert len(directions) == 3 * 11 + len(grey) and len(grey) == 3 * 5
