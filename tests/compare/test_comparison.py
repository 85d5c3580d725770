"""The columns that runs share, the lines that numbers share, and the remarks on them."""

import json
import statistics

import pytest
import run_folders

from dim_jax import compare
from dim_jax.compare import texts
from dim_jax.report import vocabulary


def names(compared):
    return [column.name for column in compared.columns]


def line(compared, **wanted):
    (found,) = [
        line
        for line in compared.lines
        if all(getattr(line, key) == value for key, value in wanted.items())
    ]
    return found


def test_seeds_share_a_column_and_its_numbers_are_mean_and_deviation(folders):
    compared = compare.runs(folders.three())
    assert names(compared) == ["base", "wide"]
    assert compared.settings == {"method.widths": ([16, 16], [32, 32])}
    (found,) = compared.lines
    several, single = found.cells
    assert several.values == (0.5, 0.7)
    assert several.mean == pytest.approx(0.6)
    assert several.deviation == pytest.approx(statistics.stdev([0.5, 0.7]))
    assert single.values == (0.8,) and single.deviation is None
    assert found.best == (1,)
    assert compared.notes == ()


def test_settings_of_the_machine_and_defaults_make_no_column(folders):
    first = folders.make("a")
    other = folders.make("b", seed=1, data__data_dir="/elsewhere", train__keep=7)
    written_out = folders.make("c", seed=2, deterministic=False, train__epochs=6)
    compared = compare.runs([first, other, written_out])
    assert len(compared.columns) == 1 and compared.settings == {}
    assert compared.notes == ("The 3 runs are repetitions of one setting with other seeds.",)


def test_other_protocols_labels_and_splits_have_lines_of_their_own(folders):
    kinds = [{}, {"protocol": "mlp-v2"}, {"labels": "5 per class"}, {"split": "clean"}]
    runs = [
        folders.make(
            f"run{index}", rows=[run_folders.row("y", 0.5, **kind)], method__widths=[index]
        )
        for index, kind in enumerate(kinds)
    ]
    compared = compare.runs(runs)
    assert len(compared.lines) == 4
    assert all(sum(cell is not None for cell in each.cells) == 1 for each in compared.lines)
    assert not any(each.best for each in compared.lines)
    said = " ".join(compared.notes)
    assert "No result is common" in said and "mlp was measured under mlp-v1 and mlp-v2" in said


def test_other_data_is_said_and_nothing_is_marked(folders):
    runs = [
        folders.make("a", 0.5),
        folders.make("b", 0.6, facts={"dataset": "cifar10"}, data__name="cifar10"),
        folders.make("c", 0.7, facts={"test_examples": 100}, data__test_fraction=0.1),
    ]
    compared = compare.runs(runs)
    (found,) = compared.lines
    assert found.best == ()
    (said,) = compared.notes
    for words in ("359 test images (a)", "cifar10", "100 test images (c)", "not comparable"):
        assert words in said


def test_lines_on_a_data_set_that_evaluations_name_are_compared_across_data(folders):
    def rows(value):
        return [
            run_folders.row("y", value),
            run_folders.row("y", value, "mlp_stl10", dataset="stl10"),
        ]

    other = dict(facts={"dataset": "cifar10"}, data__name="cifar10")
    compared = compare.runs(
        [folders.make("a", rows=rows(0.5)), folders.make("b", rows=rows(0.6), **other)]
    )
    own, shared = (line(compared, dataset=name) for name in ("", "stl10"))
    assert own.best == () and shared.best == (1,)
    assert "on stl10" in shared.heading[1] and "stl10" not in own.heading[1]
    (said,) = compared.notes
    assert said.endswith("Lines on a data set that their evaluation names are.")


def test_equal_settings_on_other_images_share_no_column(folders):
    runs = [folders.make("a"), folders.make("b", seed=1)]
    (runs[1] / "data.json").write_text(json.dumps({"format": 1, "name": "digits", "files": "x"}))
    compared = compare.runs(runs)
    assert names(compared) == ["a", "b"] and compared.settings == {}
    assert "images of the columns differ" in compared.notes[0]


def test_a_run_without_a_fingerprint_of_its_data_shares_a_column(folders):
    runs = [folders.make("a"), folders.make("b", seed=1)]
    runs.append(folders.make("c", seed=2, facts={"test_examples": 100}))
    for run in runs[1:]:
        (run / "data.json").unlink()
    compared = compare.runs(runs)
    assert [[run.name for run in column.runs] for column in compared.columns] == [["a", "b"], ["c"]]
    assert "100 test images (c)" in compared.notes[0]


def test_the_better_direction_is_that_of_the_metric(folders):
    metrics = {"ndm": 0, "mine": 1, "retrieval_chance": None}
    runs = [
        folders.make(
            f"run{index}",
            rows=[run_folders.row("y", value, metric=metric) for metric in metrics],
            method__widths=[index],
        )
        for index, value in enumerate((0.1, 0.2))
    ]
    compared = compare.runs(runs)
    for metric, best in metrics.items():
        expected = () if best is None else (best,)
        assert line(compared, metric=metric).best == expected
    assert line(compared, metric="mine").title == "Information with the image, by MINE, y"


def test_values_that_look_equal_are_marked_together(folders):
    values = (0.5001, 0.5002, 0.4)
    runs = [folders.make(f"r{i}", value, method__widths=[i]) for i, value in enumerate(values)]
    assert compare.runs(runs).lines[0].best == (0, 1)
    assert compare.runs(runs[:2]).lines[0].best == ()


def test_every_metric_has_a_direction_or_is_known_to_have_none():
    neutral = {
        *("retrieval_chance", "bound_ceiling", "ms_ssim_scales", "attributes_judged", "rate"),
        *("code_recovery_chance", "image_error_random", "active_coordinates", "entropy"),
        *("information_shuffled", "information_ceiling", "images", "nearest_distance_ratio"),
        *("score_mean_real", "score_std_real", "score_mean_generated", "score_std_generated"),
        *("score_overlap", "score_overlap_targets", "modes", "high_quality_real"),
        *("energy_distance_real", "effective_rank", "effective_rank_share", "lidar"),
        *("alignment", "uniformity"),  # collapsed encoders have the best alignment
    }
    for metric in vocabulary._METRICS:
        assert (vocabulary.better(metric) is None) == (metric in neutral), metric
    assert not vocabulary._LARGER_IS_BETTER & vocabulary._SMALLER_IS_BETTER
    assert vocabulary.better("unheard") is None


def test_controls_and_permuted_labels_are_never_marked(folders):
    def rows(value):
        return [
            run_folders.row("y", value),
            run_folders.row("y", value, representation="untrained"),
            run_folders.row("pixels", value, representation="pixels"),
            run_folders.row("y", value, metric="majority"),
            run_folders.row("y", value, "mlp_permuted", labels="all, permuted"),
        ]

    runs = [
        folders.make(f"run{index}", rows=rows(0.1 * index), method__widths=[index])
        for index in range(2)
    ]
    compared = compare.runs(runs)
    titles = {(each.evaluation, each.title): each for each in compared.lines}
    assert [*titles] == [
        ("mlp", "y"),
        ("mlp", "y, untrained"),
        ("mlp", "pixels"),
        ("mlp", "majority"),
        ("mlp_permuted", "y"),
    ]
    assert [each.best for each in titles.values()] == [(1,), (), (), (), ()]
    assert [each.is_control for each in titles.values()] == [False, True, True, True, False]


def test_the_spread_within_a_run_is_that_of_its_fits(folders):
    runs = [
        folders.make("a", rows=[run_folders.row("y", 0.5, std=0.02, fits=3)]),
        folders.make("b", rows=[run_folders.row("y", 0.6, std=0.03, fits=3)], method__widths=[1]),
        folders.make("c", rows=[run_folders.row("y", None)], method__widths=[2]),
    ]
    compared = compare.runs(runs)
    (found,) = compared.lines
    assert [texts.cell(found, index, 1) for index in range(3)] == [
        ("50.0", "±2.0"),
        ("60.0", "±3.0"),
        ("–", ""),
    ]
    assert found.cells[0].fits == 3 and found.cells[0].deviation is None
    assert texts.spread_meaning(compared.lines) == (
        "± is the standard deviation over fits or subsets of labels where a column has one run."
    )


def test_fewer_values_than_runs_are_counted(folders):
    runs = [folders.make(f"s{seed}", 0.5 + 0.1 * seed, seed=seed) for seed in range(2)]
    runs.append(folders.make("s2", rows=[], seed=2))
    compared = compare.runs(runs)
    (found,) = compared.lines
    assert texts.cell(found, 0, 3) == ("55.0", "±7.1 (2)")


def test_an_unfinished_run_has_settings_and_curves(folders):
    runs = folders.three()
    (runs[2] / "results.json").unlink()
    with (runs[2] / "metrics.jsonl").open("a") as file:
        file.write('{"step": 70, "lo')  # the line under way
    compared = compare.runs(runs)
    assert compared.notes[0].startswith("wide is not finished and has settings and curves")
    assert len(compared.runs[2].metrics) == 6
    assert [cell is None for cell in compared.lines[0].cells] == [False, True]


def test_equal_seeds_of_a_column_and_other_versions_are_said(folders):
    runs = [
        folders.make("a"),
        folders.make("b", facts={"versions": {"dim_jax": "0.2.0"}}),
    ]
    repeated, seeds, versions = compare.runs(runs).notes
    assert repeated == "The 2 runs are repetitions of one setting."
    assert "a and b have the same settings and the same seed" in seeds
    assert "dim_jax 0.1.0 on CPU (a)" in versions and "dim_jax 0.2.0 on CPU (b)" in versions


def test_a_block_that_a_column_lacks_is_one_line(folders):
    evals = {**run_folders.CONFIG["evals"], "knn": {"name": "knn", "protocol": "knn-v1", "k": 5}}
    runs = [folders.make("a"), folders.make("b", evals=evals)]
    assert compare.runs(runs).settings == {"evals.knn.name": ("absent", "knn")}
    assert texts.setting("absent") == "–"


def test_arguments_that_older_versions_lack_have_their_values(folders):
    encoder = {"name": "dcgan32"}
    runs = [
        folders.make("older", method__encoder=encoder),
        folders.make("newer", method__encoder={**encoder, "norm": "batch"}, seed=1),
    ]
    assert compare.runs(runs).settings == {}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/x", "b/x"], ["a", "b"]),
        (["x/s0", "x/s1", "y/s0"], ["x", "y/s0"]),
        (["s0", "s1", "t"], ["s0 + 1", "t"]),
        (["long/base-seed-1", "long/base-seed-12", "t"], ["long/base", "t"]),
    ],
)
def test_names_are_short(folders, paths, expected):
    other = len(paths) - 1
    runs = [
        folders.make(path, seed=index, **({"method__widths": [1]} if index == other else {}))
        for index, path in enumerate(paths)
    ]
    assert names(compare.runs(runs)) == expected


def test_a_column_can_be_written_as_json(folders):
    content = json.loads(json.dumps(compare.runs(folders.three()).to_dict()))
    assert [run["seed"] for run in content["columns"][0]["runs"]] == [0, 1]
    assert content["lines"][0]["cells"][0]["mean"] == pytest.approx(0.6)
    assert content["lines"][0]["best"] == [1]
