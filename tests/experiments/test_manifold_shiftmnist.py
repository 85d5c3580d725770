"""The claims of the table of shiftMNIST, and the choice of its strengths."""

from experiments import manifold_shiftmnist, manifold_shiftmnist_choice


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


def test_the_strongest_candidate_that_costs_little_is_chosen():
    values = {"cnn_l2 0.0001": 0.99, "cnn_l2 0.01": 0.975, "cnn_l2 0.1": 0.9, "max_i_h 10": 0.5}
    content = {"rows": [row(label, test=[value]) for label, value in values.items()]}
    assert manifold_shiftmnist_choice.chosen(content) == {
        "cnn_l2": "cnn_l2 0.01",
        "max_i_h": "max_i_h 10",
    }


def test_candidates_never_see_images_without_the_pixel():
    rows = manifold_shiftmnist_choice.rows("cpu")
    assert all("split=validation" in each.config for each in rows)
    models = [each.config.partition("model=")[2].partition(",")[0] for each in rows]
    assert {model: models.count(model) for model in models} == {
        "cnn_l2": 4,
        "linear_l2": 4,
        "max_i": 4,
        "max_i_h": 4,
    }
