"""Experiments run what is missing, continue, share runs, and decide directions seed by seed."""

import dataclasses
import json

import pytest

from experiments import fragments, table, table_text

FACTS = {
    **dict(dataset="toy", steps=10, epochs=1.0, device="CPU", commit="abc", versions={}),
    **dict(train_examples=5, test_examples=4, train_seconds=60.0, eval_seconds=30.0),
}
# y of each row by seed: the second row is above the first in two of three seeds.
Y = {"plain": (0.50, 0.52, 0.54), "more": (0.53, 0.51, 0.58), "more still": (0.5, 0.5, 0.5)}
ROWS = [
    table.Row("plain", "configs/toy.py:plain", seeds=(0, 1, 2), differs="all"),
    table.Row("more", "configs/toy.py:more", ("--config.x=1",), seeds=(0, 1, 2), differs="all"),
]
CLAIM = table.Direction("more is more", "more", "plain", ("mlp", "y", "accuracy"))


def measured(value, metric="accuracy", published=None, representation="trained"):
    named = dict(eval="mlp", protocol="mlp-v1", labels="all", tap="y")
    return dict(
        named, representation=representation, metric=metric, value=value, published=published
    )


@pytest.fixture
def trained(monkeypatch, tmp_path) -> list:
    """Training only writes the result of a row and seed; what was trained, in order."""
    monkeypatch.setattr(table, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(table, "RESULTS", tmp_path / "results")
    done = []

    def train(row, seed):
        done.append((row.label, seed))
        rows = [
            measured(Y[row.label][seed], published=60.0),
            measured(0.4, representation="untrained"),
            measured(1.5 + seed, metric="kl", published=2.0),
        ]
        table.folder(row, seed).mkdir(parents=True)
        (table.folder(row, seed) / "results.json").write_text(
            json.dumps(dict(run=FACTS, rows=rows))
        )

    monkeypatch.setattr(table, "_train", train)
    return done


def test_every_row_has_its_first_seed_before_any_has_its_second(trained):
    table.run("toy", ROWS)
    assert trained == [(row.label, seed) for seed in range(3) for row in ROWS]


def test_what_is_there_is_not_run_again_and_the_rest_is(trained):
    table.run("toy", ROWS, only="plain")
    assert {label for label, _ in trained} == {"plain"}
    content = table.run("toy", ROWS)
    assert len(trained) == 6 and [row["label"] for row in content["rows"]] == ["plain", "more"]
    table.run("other_table_with_the_same_row", ROWS[:1])
    assert len(trained) == 6


def test_the_row_of_a_label_is_run_without_those_that_contain_it(trained):
    rows = [*ROWS, dataclasses.replace(ROWS[1], label="more still", overrides=("--config.x=2",))]
    table.run("toy", rows, only="more")
    assert {label for label, _ in trained} == {"more"}
    table.run("toy", rows, only="mor")
    assert {label for label, _ in trained} == {"more", "more still"}


def test_results_whose_run_folder_is_gone_are_kept(trained, monkeypatch, tmp_path):
    before = table.run("toy", ROWS, [CLAIM])
    monkeypatch.setattr(table, "RUNS", tmp_path / "elsewhere")
    after = table.run("toy", ROWS, [CLAIM], only="more")
    assert len(trained) == 9 and after == before
    changed = dataclasses.replace(ROWS[0], overrides=("--config.x=2",))
    assert [row["label"] for row in table.run("toy", [changed, ROWS[1]], only="more")["rows"]] == [
        "more"
    ]


def test_results_are_written_after_every_run(trained, monkeypatch):
    train = table._train

    def stops(row, seed):
        if len(trained) == 3:
            raise KeyboardInterrupt
        train(row, seed)

    monkeypatch.setattr(table, "_train", stops)
    with pytest.raises(KeyboardInterrupt):
        table.run("toy", ROWS, [CLAIM])
    content = json.loads((table.RESULTS / "toy.json").read_text())
    assert [row["seeds"] for row in content["rows"]] == [[0, 1], [0]]
    assert content["directions"][0]["seeds"] == [0]


def test_means_spreads_and_differences(trained):
    row = table.run("toy", ROWS)["rows"][0]
    accuracy, _, other = row["measures"]
    assert accuracy["values"] == list(Y["plain"]) and accuracy["value"] == pytest.approx(0.52)
    assert accuracy["std_over_seeds"] == pytest.approx(0.02)
    assert accuracy["difference_points"] == pytest.approx(-8.0)
    assert other["value"] == 2.5 and other["difference"] == 0.5
    assert row["train_minutes"] == 1.0 and row["eval_minutes"] == 0.5


def test_a_row_that_is_not_compared_has_nothing_published(trained):
    (row,) = table.run("toy", [dataclasses.replace(ROWS[0], compared=False)])["rows"]
    assert all(cell.get("published_percent") is None for cell in row["measures"])
    assert all(cell.get("published") is None for cell in row["measures"])


def test_published_numbers_of_a_row_replace_those_of_its_config(trained):
    published = dict(mlp={"y": 50.0, "y/kl": 1.0})
    (row,) = table.run("toy", [dataclasses.replace(ROWS[0], published=published)])["rows"]
    accuracy, untrained, other = row["measures"]
    assert (accuracy["published_percent"], other["published"]) == (50.0, 1.0)
    assert untrained["published_percent"] is None
    (row,) = table.run("toy", [dataclasses.replace(ROWS[0], published={})])["rows"]
    assert all(cell.get("published_percent") is None for cell in row["measures"])


def test_evaluations_are_part_of_a_row(trained, monkeypatch, tmp_path):
    plain, evals = ROWS[0], dict(mlp=dict(name="mlp", taps=("y",)))
    rows = [dataclasses.replace(plain, label="plain", evals=evals)]
    other = dataclasses.replace(rows[0], evals=dict(mlp=dict(name="mlp", taps=("fc",))))
    names = {table.folder(row, 0) for row in (plain, rows[0], other)}
    assert len(names) == 3
    content = table.run("toy", rows)
    assert content["rows"][0]["evals"] == evals
    read = json.loads((table.RESULTS / "toy.json").read_text())["rows"][0]
    assert table._is(rows[0], read) and not table._is(plain, read) and not table._is(other, read)
    command = """configs/toy.py:plain --evals='{"mlp": {"name": "mlp", "taps": ["y"]}}'"""
    assert table_text.command(read) == command
    assert f"`{command}`" in fragments.experiment("toy", dict(rows=[read]))


def test_a_row_of_an_earlier_version_is_the_same_without_its_word_for_evaluations():
    earlier = dict(label="a", overrides=[])
    row = table.Row("a", "configs/toy.py:plain,budget=cpu", evals=dict(mlp=dict(name="mlp")))
    for words in ("judge=y,plain,budget=cpu", "plain,judge=table4,budget=cpu"):
        measured = dict(earlier, config=f"configs/toy.py:{words}")
        assert table._is(row, measured)
        assert table_text.command(measured) == "configs/toy.py:plain,budget=cpu"
    assert not table._is(row, dict(earlier, config="configs/toy.py:plain,budget=cpu"))
    assert not table._is(row, dict(earlier, config="configs/toy.py:judge=y,budget=cpu"))
    assert table_text.config(dict(config="configs/quickstart.py")) == "configs/quickstart.py"


def test_commands_have_the_evaluations(monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(table, "RUNS", tmp_path)
    monkeypatch.setattr(table.trainings, "run", commands.append)
    row = dataclasses.replace(ROWS[1], evals=dict(mlp=dict(name="mlp", taps=("y",))))
    for each in (row, ROWS[1]):
        table._train(each, 0)
    assert commands[0][-1] == '--evals={"mlp": {"name": "mlp", "taps": ["y"]}}'
    assert not any("evals" in argument for argument in commands[1])


@pytest.mark.parametrize(("larger", "smaller", "verdict"), [(1, 0, "hit"), (0, 1, "miss")])
def test_directions(trained, larger, smaller, verdict):
    claim = table.Direction("a claim", ROWS[larger].label, ROWS[smaller].label, CLAIM.measure)
    (found,) = table.run("toy", ROWS, [claim])["directions"]
    assert found["verdict"] == verdict
    sign = 1 if verdict == "hit" else -1
    assert found["differences"] == pytest.approx([0.03 * sign, -0.01 * sign, 0.04 * sign])
    count = 2 if verdict == "hit" else 1
    text = f"A claim: {verdict}, {2 * sign:+d} points in the mean, in {count} of 3 seeds"
    assert table_text.verdict(found) == text


def test_a_direction_between_two_measures_of_a_row(trained):
    """y of the trained encoder against that of the untrained one, and of another tap."""
    y = ("mlp", "y", "accuracy")
    claim = table.Direction("learns", "more", "more", y, (*y, "untrained"))
    (found,) = table.run("toy", ROWS, [claim])["directions"]
    cells = {
        cell["representation"]: cell["values"]
        for cell in table.run("toy", ROWS)["rows"][1]["measures"]
        if cell["metric"] == "accuracy"
    }
    pairs = zip(cells["trained"], cells["untrained"], strict=True)
    assert found["differences"] == pytest.approx([a - b for a, b in pairs])
    assert any(found["differences"])


def test_taps_of_an_evaluation_are_columns():
    cells = [
        dict(measured(0.5), tap=tap, values=[0.5], std_over_seeds=None, published_percent=None)
        for tap in ("y", "y_ab", "pixels")
    ]
    content = dict(rows=[dict(label="a", train_minutes=1.0, measures=cells)])
    assert table_text.taps(content, "mlp") == ("conv", "fc", "y", "y_ab")
    found = table_text.line(content["rows"][0], "mlp", "trained", ("y", "y_ab"))
    assert found == ["a", "trained", "50.0", "50.0", "", "", "1.0"]


def test_a_direction_without_both_rows_is_left_out(trained):
    assert table.run("toy", ROWS, [CLAIM], only="plain")["directions"] == []


def test_folders_differ_and_are_not_too_long():
    long = [
        table.Row("a", "configs/toy.py", (f"--config.x={'1' * 300}{end}",)) for end in ("0", "1")
    ]
    names = {table.folder(row, 0).parent.name for row in (*ROWS, *long)}
    assert len(names) == 4 and max(map(len, names)) < 200


def test_a_fragment_shows_measured_published_and_the_verdict(trained):
    content = table.run("toy", ROWS, [CLAIM])
    text = fragments.experiment("toy", content).replace("\u00a0", " ")
    assert "| plain | 52.0 ±2.0 (60.0, -8.0) | 1.0 |" in text
    assert text.count("untrained encoder") == 1 and "| untrained encoder | 40.0 ±0.0 |" in text
    assert "| More is more | hit | +2 points | 2 of 3 |" in text
    assert "10 training steps on CPU; mean ± standard deviation over 3 seeds." in text
    assert "permuted" not in text
    control = dict(content["rows"][0]["measures"][0], eval="mlp_permuted", value=0.102)
    content["rows"][0]["measures"].append(control)
    permuted = fragments.experiment("toy", content)
    assert "Control with permuted training labels: 10.2 percent." in permuted
    assert permuted.count("| plain | 52") == 1


def test_a_measure_of_several_protocols_names_them():
    common = dict(tap="y", representation="trained", std_over_seeds=None, published=None)
    cells = [
        dict(common, eval="ndm", metric="ndm", value=13.7, protocol="ndm-v1"),
        dict(common, eval="ndm_paper", metric="ndm", value=9.5, protocol="ndm-paper-v1"),
        dict(common, eval="mine", metric="mine", value=3.0, protocol="mine-v1"),
    ]
    cells[1] |= dict(published=9.18, difference=0.32)
    rows = [dict(label="DIM(L)", measures=cells)]
    text = fragments.measures(dict(rows=rows), None)
    assert "|  | ndm, ndm-v1 | ndm, ndm-paper-v1 | mine |" in text
    assert "| DIM(L) | 13.700 | 9.500 (9.18, +0.32) | 3.000 |" in text


def test_the_command_line(trained, monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["toy", *arguments])
        return table.main("toy", lambda budget: ROWS, ("paper", "cpu"), lambda rows: [CLAIM])

    assert call("--only=mor")["experiment"] == "toy_cpu"
    assert {label for label, _ in trained} == {"more"}
    assert call("--budget=paper")["experiment"] == "toy_paper" and len(trained) == 6
    with pytest.raises(SystemExit):
        call("--only=less")
    assert "no row has 'less' in its label; the labels are: plain; more" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call("--budget=huge")


def test_orders_of_rows_beside_the_published_ones():
    """Three rows, of which the published order exchanges the last two: Spearman's 0.5."""

    def row(label, value, published, dataset="toy"):
        cell = dict(eval="mlp", tap="y", metric="accuracy", representation="trained")
        return dict(
            label=label,
            dataset=dataset,
            measures=[dict(cell, value=value, published_percent=published)],
        )

    rows = [row("a", 0.3, 40.0), row("b", 0.5, 60.0), row("c", 0.2, 50.0)]
    (found,) = table_text.orders(dict(rows=[*rows, row("d", 0.9, 1.0, "other")]))
    assert (found.ours, found.published) == (["b", "a", "c"], ["b", "c", "a"])
    assert found.correlation == pytest.approx(0.5)
    assert table_text.order(found) == (
        "Order at y: b > a > c; published: b > c > a; rank correlation 0.50"
    )
    assert table_text.orders(dict(rows=rows[:2])) == []
    assert table_text.orders(dict(rows=[*rows, row("a longer", 0.4, 40.0)])) == []


def test_later_seeds_may_measure_less(trained, monkeypatch):
    """They have folders of their own, and what only the first seed has is the mean of one."""
    (plain, _) = ROWS
    row = dataclasses.replace(plain, later=("--config.evals.mlp.taps=('y',)",))
    assert table.folder(row, 0) == table.folder(plain, 0)
    assert table.folder(row, 1) != table.folder(plain, 1)
    content = table.run("toy", [row])
    assert trained == [("plain", 0), ("plain", 1), ("plain", 2)]
    path = table.folder(row, 0) / "results.json"
    result = json.loads(path.read_text())
    conv = dict(measured(0.7), tap="conv")
    path.write_text(json.dumps(dict(result, rows=[*result["rows"], conv])))
    content = table.run("toy", [row])
    cells = {cell["tap"]: cell for cell in content["rows"][0]["measures"] if cell["metric"] != "kl"}
    assert cells["conv"]["values"] == [0.7] and cells["conv"]["std_over_seeds"] is None
