"""The page: complete, self-contained, escaped, and there for runs that have little to show."""

import base64
import html.parser
import json
import re

import numpy as np
import pytest

from dim_jax import report
from dim_jax.report import tables, vocabulary

VOID = {"meta", "link", "img", "br", "hr"}


class Page(html.parser.HTMLParser):
    """Text, attributes and tags of a page; refuses tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.tags, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["script"]):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


def written(folder):
    path = report.write_html(folder)
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


def changed(folder, name, change):
    path = folder / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_every_number_appears(folder, finished):
    text = Page(written(folder)).text
    for row in finished["rows"]:
        assert tables.metric_text(row["metric"], row["value"]).removesuffix(" %") in text
        if row["std"] is not None:
            assert f"±{100 * row['std']:.1f}" in text
        if row["published"] is not None:
            assert str(row["published"]) in text
    run = finished["run"]
    for words in ("8,000", "32 min 12 s", "2,875", "1,381,952", "14 s", "0.10.2", *run["notes"]):
        assert words in text
    assert f"Published: {finished['published_source']}. {finished['published_differs']}" in text
    assert run["config_string"] in text


def test_the_source_of_published_numbers_stands_below_each_table_that_has_some(folder):
    def of_a_measure(results):
        for row in results["rows"]:
            row["published"] = 0.01 if row["metric"] == "kolmogorov_uniform" else None

    assert written(folder).count("Published: Hjelm et al. 2019, Table 1. They are of") == 1
    changed(folder, "results.json", of_a_measure)
    assert written(folder).count("Published: Hjelm et al. 2019, Table 1. They are of") == 1
    changed(folder, "results.json", lambda results: results.update(rows=results["rows"][:3]))
    assert "Published: Hjelm" not in written(folder)


def test_the_best_value_of_each_group_is_marked(folder):
    page = Page(written(folder))
    cells = [value for tag, name, value in page.attributes if tag == "td" and name == "class"]
    assert sum("best" in value.split() for value in cells) == 4


def test_marks_of_a_table_stand_where_their_numbers_are(folder, finished):
    """On the scale that the ticks tell, which all rows of a table share."""
    table = written(folder).split("<table class='probes")[1].split("</table>")[0]
    ticks = re.findall(r"<span style='left:([\d.]+)%'>([\d.]+)</span>", table)
    slope, start = np.polyfit(*np.array(ticks, float).T[::-1], 1)
    assert slope > 0 and len(set(ticks)) >= 3
    rows = dict.fromkeys(("conv", "fc", "y"))
    for tap in rows:
        track = table.split(f"<th scope='row'>{tap} ")[1].split("</div>")[0]
        rows[tap] = re.findall(r"<i class='(?:mark|line) (\w+)' style='left:([\d.]+)%'", track)
        for name, left in rows[tap]:
            given = [row for row in finished["rows"][:8] if row["tap"] in (tap, name)]
            of_name = [row for row in given if row["representation"] == name]
            value = 100 * of_name[0]["value"] if of_name else given[0]["published"]
            assert slope * value + start == pytest.approx(float(left), abs=0.05), (tap, name)
        assert {name for name, _ in rows[tap]} == {
            *("trained", "untrained", "pixels", "pca"),
            "diamond",
        }
        bar = re.search(r"<i class='bar' style='left:([\d.]+)%;width:([\d.]+)%'", track)
        left = dict(rows[tap])
        ends = sorted(float(left[name]) for name in ("trained", "untrained"))
        assert float(bar[1]) == pytest.approx(ends[0], abs=0.02)
        assert float(bar[2]) == pytest.approx(ends[1] - ends[0], abs=0.02)


def test_the_permuted_control_has_a_section_of_its_own(folder):
    def add(results):
        row = {**results["rows"][2], "eval": "mlp_permuted", "labels": "all, permuted"}
        results["rows"].insert(0, {**row, "value": 0.1013, "std": 0.0034, "published": None})

    plain = written(folder)
    assert "permuted" not in plain
    changed(folder, "results.json", add)
    text = written(folder)
    titles = re.findall(r"<h2>([^<]*)</h2>", text)
    assert titles.index("Control: permuted training labels") == (
        titles.index("Probes with few labels") + 1
    )
    section = next(part for part in text.split("<section>") if "permuted training" in part)
    assert "which must stay near chance" in section and "<b>10.1</b>" in section
    assert "best" not in section and "10.1" not in text.replace(section, "")
    verdicts = [re.search("<p class='verdict'>(.*?)</p>", page)[1] for page in (plain, text)]
    assert verdicts[0] == verdicts[1]


def test_the_own_classifier_is_no_probe_of_frozen_features(folder):
    def replace(results):
        shared = {**results["rows"][0], "eval": "classifier", "std": None, "published": None}
        results["rows"] = [
            {**shared, "tap": split, "split": split, "value": value}
            for split, value in (("test", 0.9961), ("clean", 0.6543))
        ]

    changed(folder, "results.json", replace)
    text = written(folder)
    assert re.findall(r"<h2>([^<]*)</h2>", text)[0] == "The method&#x27;s own classifier"
    assert "trained together with the encoder" in text and "frozen" not in Page(text).text
    assert "<b>99.6</b>" in text and "<b>65.4</b>" in text


def test_one_chart_for_each_loss_and_metric(folder):
    text = written(folder)
    titles = re.findall(r"<figcaption><b>([^<]*)</b><output>", text)
    assert titles == ["loss/encoder", "loss/prior", "accuracy"]


def test_curves_are_explained():
    names = ("loss/encoder", "local/nats", "local/score_joint", "probe/y_accuracy", "views/cosine")
    assert vocabulary.describe_curves(names) == (
        "loss/: of each player, which it minimises; /nats: a lower bound of the mutual information "
        "in nats, from the scores of a batch; /score_joint: the mean score of pairs that belong "
        "together; accuracy: the share of the training batch that is right."
    )
    assert vocabulary.describe_curves(["views/cosine"]) == ""


def test_figures_are_embedded_with_their_size(folder):
    page = Page(written(folder))
    image = {name: value for tag, name, value in page.attributes if tag == "img"}
    assert (image["width"], image["height"]) == ("30", "20")
    data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
    assert data == (folder / "figures" / "filters.png").read_bytes()


def test_the_page_needs_nothing_else(folder):
    text = written(folder)
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert "url(" not in text
    for _, name, value in Page(text).attributes:
        if name in ("src", "href", "srcset", "xlink:href", "poster", "action"):
            assert value.startswith("data:")


def test_everything_is_escaped(folder):
    bad = "<script>alert('x')</script>\"&"

    def poison(results):
        results["published_source"] = results["published_differs"] = bad
        for key in ("config", "config_string", "device", "dataset"):
            results["run"][key] = bad
        results["run"]["notes"] = [bad]
        results["run"]["versions"] = {bad: bad}
        results["run"]["parameters"] = {bad: 1}
        results["figures"] = [
            {"file": "filters.png", "title": bad, "caption": bad},
            {"file": bad, "title": bad, "caption": bad},
        ]
        for row in list(results["rows"]):
            for key in ("eval", "protocol", "representation", "tap", "labels", "split"):
                results["rows"].append({**row, key: bad, "published": 1.0})

    changed(folder, "results.json", poison)
    changed(folder, "config.json", lambda config: config.update({bad: {bad: bad}}))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 9000, bad: 1.0, f"loss/{bad}": 2.0}) + "\n")
    text = written(folder)
    assert "alert('x')" not in text
    assert "<script>alert" not in text
    page = Page(text)
    assert page.tags.count("script") == 1
    assert page.text.count("<script>alert") > 20  # as words, where they belong
    assert {name for _, name, _ in page.attributes}.isdisjoint({"onload", "onerror", "onclick"})


def test_the_steps_in_which_players_are_updated(folder):
    def updates(**players):
        changed(folder, "config.json", lambda config: config.update(players=players))
        shown = dict(re.findall(r"<dt>(Updates[^<]*)</dt><dd[^>]*>([^<]*)</dd>", written(folder)))
        return shown

    names = {"encoder": 1, "generator": 1}
    changed(folder, "results.json", lambda results: results["run"].update(parameters=names))
    assert updates(encoder=dict(every=1)) == {}
    assert updates(encoder=dict(every=1), generator=dict(every=1), unused=dict(every=2)) == {
        "Updates": "all players in each step"
    }
    assert updates(encoder=dict(every=1), generator=dict(every=3, offset=2)) == {
        "Updates, encoder": "each step",
        "Updates, generator": "every 3 steps, from step 3",
    }


def test_facts_of_the_run_with_their_units(folder):
    def add(results):
        results["run"] |= dict(
            devices=4,
            peak_mib=dict(host=1024.4, device=7210.0),
            train_peak_mib=dict(host=512.0, device=None),
            best=dict(step=6400, metric="loss/encoder", value=1.23456),
        )

    changed(folder, "results.json", add)
    shown = dict(re.findall(r"<dt>([^<]*)</dt><dd[^>]*>([^<]*)</dd>", written(folder)))
    expected = {
        "Device": "4 × cpu",
        "Steps": "8,000",
        "Epochs": "16",
        "Training time": "32 min 12 s",
        "Images per second": "2,875",
        "Seed": "3",
        "Training images": "50,000",
        "Test images": "10,000",
        "Compilation": "14 s",
        "Evaluation": "5 min 41 s",
        "Peak memory": "1,024 MiB, device 7,210 MiB",
        "Peak memory, training": "512 MiB",
        "Best checkpoint": "step 6,400, loss/encoder 1.235",
        "Parameters, encoder": "1,381,952",
        "jax": "0.10.2",
    }
    assert shown == expected


def test_a_run_without_labels(folder, finished):
    def unlabelled(results):
        results["rows"] = [row for row in finished["rows"] if row["metric"] != "accuracy"][:1]

    changed(folder, "results.json", unlabelled)
    text = Page(written(folder)).text
    assert "no probe accuracies in this run" in text
    assert "0.0437" in text
    assert "Probes" not in text
    assert "loss/encoder" in text


@pytest.mark.parametrize("missing", ["results.json", "config.json", "metrics.jsonl", "figures"])
def test_whatever_is_missing_is_left_out(folder, missing):
    if missing == "figures":
        (folder / "figures" / "filters.png").unlink()
    else:
        (folder / missing).unlink()
    text = Page(written(folder)).text
    gone = {
        "results.json": "MLP probe",
        "config.json": "Resolved configuration",
        "metrics.jsonl": "loss/encoder",
        "figures": "data:image",
    }
    assert gone[missing] not in text
    assert ("filters.png is missing" in text) == (missing == "figures")


def test_an_empty_folder_still_gives_a_page(tmp_path):
    text = Page(written(tmp_path)).text
    assert tmp_path.name in text


def test_controls_alone_still_make_a_table(folder, finished):
    def only_controls(results):
        results["rows"] = [row for row in finished["rows"] if row["tap"] in ("pixels", "pca")]

    changed(folder, "results.json", only_controls)
    text = Page(written(folder)).text
    assert "46.0" in text
    assert "46.7" in text


def test_values_that_are_missing_show_a_dash(folder):
    def forget(results):
        for row in results["rows"]:
            row["value"] = None

    changed(folder, "results.json", forget)
    assert "–" in Page(written(folder)).text


def test_a_half_written_metrics_line_is_skipped(folder):
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8040, "loss/enc')
    assert "loss/encoder" in written(folder)


def test_writing_again_gives_the_same_page(folder):
    assert written(folder) == written(folder)
    assert not list(folder.glob(".*draft*"))


def test_nested_config_names_are_joined(folder):
    assert "encoder.depth" in Page(written(folder)).text
