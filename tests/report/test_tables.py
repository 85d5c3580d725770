"""Grouping of rows and the sentence computed from them, on hand-made numbers."""

import pytest

from dim_jax.report import formats, tables, verdict, vocabulary


def accuracy(representation, tap, value, **more):
    return {
        "eval": "mlp",
        "protocol": "mlp-v1",
        "representation": representation,
        "tap": tap,
        "dim": 64,
        "metric": "accuracy",
        "value": value,
        "labels": "all",
        "std": None,
        "fits": 1,
        "split": "test",
        "published": None,
        **more,
    }


def say(*rows):
    return verdict.sentence({"rows": rows})


def test_rows_are_grouped_by_evaluation_and_labels(finished):
    groups = tables.groups(finished["rows"])
    found = [(group.evaluation, group.labels, len(group.rows)) for group in groups]
    assert found == [
        ("mlp", "all", 8),
        ("svm", "all", 4),
        ("knn", "all", 2),
        ("mlp", "10 per class", 2),
    ]
    mlp = groups[0]
    assert mlp.taps == ("conv", "fc", "y")
    assert mlp.representations == ("trained", "untrained", "pixels", "pca")
    assert mlp.controls == ("pixels", "pca")
    assert mlp.best()["value"] == 0.5803
    assert mlp.published("fc") == 75.57
    assert mlp.setting == "mlp-v1 · all labels · 3 fits"
    assert groups[3].setting == "mlp-v1 · 10 labels per class · 3 fits"


def test_a_control_answers_for_every_tap_and_an_encoder_only_for_its_own(finished):
    mlp = tables.groups(finished["rows"])[0]
    assert mlp.row("pca", "conv") is mlp.row("pca", "y") is mlp.rows[7]
    assert mlp.row("untrained", "fc")["value"] == 0.3922
    assert mlp.row("untrained", "layer9") is None


def test_groups_do_not_depend_on_the_order_of_the_rows(finished):
    names = [group.representations for group in tables.groups(finished["rows"][::-1])]
    assert ("trained", "untrained", "pixels", "pca") in names


@pytest.mark.parametrize(("deviation", "text"), [(0.0123, "±1.2"), (0.0, "±0.0"), (None, "")])
def test_the_spread_is_in_points_of_a_percentage(deviation, text):
    assert tables.spread(accuracy("trained", "y", 0.5, std=deviation)) == text


def of_attributes():
    """Rows as the evaluation of binary attributes gives them."""
    values = [
        ("trained", "y", 0.81, 0.72),
        ("untrained", "y", 0.79, 0.66),
        ("pca", "pca", 0.8, 0.7),
    ]
    rows = []
    for name, tap, plain, balanced in values:
        more = {"eval": "attributes", "protocol": "attributes-v1"}
        rows += [
            accuracy(name, tap, plain, **more),
            accuracy(name, tap, balanced, **more, metric="balanced_accuracy"),
            accuracy(name, tap, 0.77, **more, metric="majority"),
            accuracy(name, "", 39.0, **more, metric="attributes_judged"),
        ]
    return rows


def test_attributes_give_two_tables_and_their_floor_is_a_control():
    plain, balanced = tables.groups(of_attributes())
    assert plain.title == "Binary attributes"
    assert balanced.title == "Binary attributes, balanced accuracy"
    assert plain.taps == balanced.taps == ("y",)
    assert plain.controls == ("pca", "majority") and balanced.controls == ("pca",)
    assert plain.row("majority", "y")["value"] == 0.77
    assert len(plain.rows) == 4  # the floor once
    assert balanced.row("trained", "y")["value"] == 0.72
    (measure,) = tables.measures(of_attributes())
    assert (measure.metric, measure.title) == ("attributes_judged", "Attributes judged")
    assert measure.values == {"trained": 39.0, "untrained": 39.0, "pca": 39.0}


def test_a_floor_that_nothing_beats_is_the_best_of_its_table():
    rows = [
        accuracy("trained", "y", 0.7, eval="attributes"),
        accuracy("trained", "y", 0.77, eval="attributes", metric="majority"),
    ]
    (group,) = tables.groups(rows)
    assert group.best() is group.row("majority", "y")


@pytest.mark.parametrize("order", [1, -1])
def test_verdict_of_attributes_names_the_floor(order):
    assert say(*of_attributes()[::order]) == (
        "y: 81.0 % with a linear classifier for each attribute, 2.0 points above the untrained "
        "encoder, 1.0 above PCA-64 and 4.0 above always predicting the more frequent value."
    )


def test_measures_are_what_is_not_an_accuracy(finished):
    found = {measure.metric: measure.values for measure in tables.measures(finished["rows"])}
    assert found == {
        "kolmogorov_uniform": {"trained": 0.0437, "untrained": 0.2876},
        "purity@4": {"trained": 0.4625},
    }


def test_a_published_measure_stands_beside_ours():
    ours = accuracy("trained", "y", 1.25, metric="ndm", published=9.18)
    (measure,) = tables.measures([ours, accuracy("untrained", "y", 0.5, metric="ndm")])
    assert measure.values == {"trained": 1.25, "untrained": 0.5, "published": 9.18}


PERMUTED = accuracy("trained", "y", 0.99, eval="mlp_permuted", labels="all, permuted", fits=3)


def test_permuted_labels_are_a_group_of_their_own_at_the_end(finished):
    few = {**PERMUTED, "labels": "10 per class, permuted"}
    groups = tables.groups([few, PERMUTED, *finished["rows"]])
    *others, all_labels, few_labels = groups
    assert not any(group.permuted for group in others) and len(others) == 4
    assert all_labels.permuted and few_labels.permuted
    assert (all_labels.few_labels, few_labels.few_labels) == (False, True)
    assert all_labels.title == "MLP probe"
    assert all_labels.setting == "mlp-v1 · all labels, permuted · 3 fits"
    assert few_labels.setting == "mlp-v1 · 10 labels per class, permuted · 3 fits"
    assert all_labels.best() is None  # nobody wins at chance


def test_verdict_never_rests_on_permuted_labels(finished):
    plain = verdict.sentence(finished)
    assert verdict.sentence({**finished, "rows": [PERMUTED, *finished["rows"]]}) == plain
    assert say(PERMUTED) == "No probe accuracies in this run."
    few = accuracy("trained", "y", 0.3, labels="10 per class")
    assert say(PERMUTED, few) == "y: 30.0 % with an MLP probe on 10 labels per class."


def test_verdict_of_a_fine_tuned_encoder():
    row = accuracy("trained", "conv", 0.8, eval="finetune")
    assert say(row) == "conv: 80.0 % with fine-tuning of the whole encoder."


def test_verdict_of_a_whole_run(finished):
    assert verdict.sentence(finished) == (
        "y: 55.1 % with an MLP probe, 20.3 points above the untrained encoder, 9.1 above raw "
        "pixels and 8.4 above PCA-64; published: 69.13 %, measured otherwise."
    )


def test_verdict_names_the_published_form_beside_ours():
    ours = accuracy("trained", "y", 0.7), accuracy("untrained", "y", 0.4)
    named = dict(eval="mlp_paper", protocol="mlp-paper-v1")
    judged = accuracy("trained", "y", 0.684, published=69.13, **named)
    assert say(*ours, judged) == (
        "y: 70.0 % with an MLP probe, 30.0 points above the untrained encoder; 68.4 % under "
        "mlp-paper-v1, published: 69.13 %."
    )
    assert say(*ours, {**judged, "published": None}).endswith("untrained encoder.")


def test_verdict_is_of_the_measure_with_a_published_number():
    probe = accuracy("trained", "conv", 0.8), accuracy("untrained", "conv", 0.5)
    its_own = accuracy("trained", "test", 0.741, eval="own_classifier", published=75.39)
    assert say(*probe, its_own) == "test: 74.1 % with its own classifier; published: 75.39 %."
    few = accuracy("trained", "y", 0.4, labels="10 per class", published=41.0)
    assert say(accuracy("trained", "y", 0.6), few) == (
        "y: 40.0 % with an MLP probe on 10 labels per class; published: 41 %."
    )
    other = accuracy("trained", "y", 0.7, eval="svm_x", dataset="stl10", published=68.1)
    assert say(*probe, other) == "y: 70.0 % with a linear SVM on stl10; published: 68.1 %."
    # Of several, the MLP probe; of its taps, one with a published number.
    conv = accuracy("trained", "conv", 0.8, published=81.0)
    assert say(conv, accuracy("trained", "y", 0.7), its_own) == (
        "conv: 80.0 % with an MLP probe; published: 81 %."
    )
    named = dict(eval="mlp_paper", protocol="mlp-paper-v1", published=81.0)
    beside = accuracy("trained", "conv", 0.79, **named)
    assert say(*probe, accuracy("trained", "y", 0.7), beside) == (
        "conv: 80.0 % with an MLP probe, 30.0 points above the untrained encoder; 79.0 % under "
        "mlp-paper-v1, published: 81 %."
    )
    assert say(beside) == "conv: 79.0 % with an MLP probe; published: 81 %."


def test_verdict_counts_test_images_that_were_trained_on():
    run = {"test_examples": 1200, "test_examples_trained_on": 1000}
    rows = [accuracy("trained", "y", 0.9, published=69.0)]
    assert verdict.sentence({"run": run, "rows": rows}) == (
        "y: 90.0 % with an MLP probe; published: 69 %; 1,000 of the 1,200 test images are "
        "training images."
    )
    other = [accuracy("trained", "y", 0.9, dataset="stl10")]  # whose test images are others
    assert "training images" not in verdict.sentence({"run": run, "rows": other})


def test_verdict_does_not_hide_a_miss():
    rows = (
        accuracy("trained", "y", 0.282),
        accuracy("untrained", "y", 0.353),
        accuracy("pixels", "pixels", 0.2823),
        accuracy("pca", "pca", 0.466),
    )
    assert say(*rows) == (
        "y: 28.2 % with an MLP probe, 7.1 points below the untrained encoder, level with raw "
        "pixels and 18.4 below PCA-64."
    )


def test_verdict_names_the_unit_once_wherever_the_first_distance_is():
    rows = (
        accuracy("trained", "y", 0.5),
        accuracy("untrained", "y", 0.5),
        accuracy("pca", "pca", 0.45),
    )
    assert say(*rows).endswith("level with the untrained encoder and 5.0 points above PCA-64.")


def test_another_data_set_has_tables_of_its_own_and_is_named():
    own = accuracy("trained", "y", 0.5)
    other = accuracy("trained", "y", 0.9, dataset="stl10")
    titles = [group.title for group in tables.groups([other, own])]
    assert titles == ["MLP probe, on stl10", "MLP probe"]
    assert say(other, own).startswith("y: 50.0 %")  # of the run's data
    assert " on stl10" in say(other) and "90.0" in say(other)
    rank = dict(own, eval="rank", metric="effective_rank", value=3.0)
    found = tables.measures([rank, {**rank, "value": 4.0, "dataset": "stl10"}])
    assert [measure.values for measure in found] == [{"trained": 3.0}, {"trained": 4.0}]
    assert found[1].title == f"{found[0].title}, on stl10"


def test_verdict_prefers_all_labels_and_the_mlp_probe():
    few = accuracy("trained", "y", 0.9, labels="10 per class")
    svm = accuracy("trained", "y", 0.8, eval="svm")
    assert say(few, svm, accuracy("trained", "y", 0.7)) == "y: 70.0 % with an MLP probe."
    assert say(few, svm) == "y: 80.0 % with a linear SVM."
    assert say(few) == "y: 90.0 % with an MLP probe on 10 labels per class."


def test_verdict_without_y_takes_the_last_tap():
    rows = (accuracy("trained", "conv", 0.6), accuracy("trained", "fc", 0.5))
    assert say(*rows) == "fc: 50.0 % with an MLP probe."


@pytest.mark.parametrize("value", [None, float("nan")])
def test_verdict_skips_values_that_are_missing(value):
    assert say(accuracy("trained", "y", value)) == "No probe accuracies in this run."
    rows = (accuracy("trained", "y", 0.5), accuracy("untrained", "y", value))
    assert say(*rows) == "y: 50.0 % with an MLP probe."


def test_verdict_without_rows():
    run = {"steps": 1200, "dataset": "folder"}
    assert verdict.sentence({"run": run, "rows": []}) == (
        "Trained for 1,200 steps on folder; no probe accuracies in this run."
    )
    assert verdict.sentence({}) == "No probe accuracies in this run."


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (1932.4, "32 min 12 s"),
        (3599.6, "1 h 00 min"),
        (41234, "11 h 27 min"),
    ],
)
def test_durations(seconds, text):
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3.21449, "3.214"),
        (12345.6, "12,346"),
        (1e7, "1e7"),
        (2.5e-8, "2.5e-8"),
        (-0.25, "-0.25"),
        (1e30, "1e30"),
        (1e-30, "1e-30"),
    ],
)
def test_short_numbers(value, text):
    assert formats.short(value) == text


def test_titles_of_labels_with_views():
    titles = {
        "all, mean of 16 views": "all labels, mean of 16 views",
        "10 per class, one random view": "10 labels per class, one random view",
        "all, mean of 2 views, permuted": "all labels, mean of 2 views, permuted",
        "2 of 3": "2 of 3",
    }
    assert {labels: vocabulary.labels_title(labels) for labels in titles} == titles
    group = tables.Group(
        "mlp", "mlp-v1", "all, mean of 2 views, permuted", "test", "", "accuracy", ()
    )
    assert group.permuted and not group.few_labels


def test_bounds_of_seed_patches_have_words_and_units():
    shared = {"eval": "surrogate", "protocol": "surrogate-v1", "representation": "trained"}
    metrics = {"bound": 5.25, "bound_ceiling": 6.9, "surrogate_accuracy": 0.5, "variation": 0.2}
    rows = [
        {**shared, "tap": "logits", "metric": metric, "value": value, "labels": "all"}
        for metric, value in metrics.items()
    ]
    found = tables.measures(rows)
    assert [one.title for one in found] == [
        "Information with the seed patch, logits",
        "Ceiling of that information, logits",
        "Seed patches recognised, logits",
        "Surrogate loss of the variation, logits",
    ]
    assert all(one.meaning for one in found) and found[0].meaning.startswith("Nats: a lower bound")
    texts = [tables.metric_text(one.metric, one.values["trained"]) for one in found]
    assert texts == ["5.25", "6.9", "50.0 %", "0.2"]
