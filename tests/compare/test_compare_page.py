"""The page: all numbers, one line for each run, and nothing from elsewhere."""

import json
import re

import pytest
import run_folders

from dim_jax import compare
from dim_jax.compare import page
from dim_jax.report import style


def written(runs, tmp_path, **options):
    path = tmp_path / "page.html"
    compared = compare.runs(runs)
    options = {"metrics": page.metrics(compared.runs), **options}
    page.write_html(compared, path, **options)
    return path.read_text()


def figures(text):
    return re.findall(r"<figure class='curve'.*?</figure>", text, re.S)


def test_it_has_numbers_settings_and_a_line_for_every_run(folders):
    text = written(folders.three(), folders.root)
    for words in ("60.0", "±14.1", "[32, 32]", "2 seeds: 0, 1", "base", "wide"):
        assert words in text
    assert "<td class='best'><b>80.0</b>" in text
    first, second = figures(text)
    assert "loss/encoder" in first and "local/nats" in second
    columns = re.findall(r"<path data-column='(\d)' class='main k(\d)'", first)
    assert columns == [("0", "0"), ("0", "0"), ("1", "1")]
    assert text.count("<button type='button'") == 2


def test_it_needs_nothing_from_elsewhere(folders):
    text = written(folders.three(), folders.root)
    assert not re.findall(r"(?:src|href)='(?!data:)", text) and "http" not in text


@pytest.mark.parametrize(("x", "last"), [("steps", 60), ("epochs", 3.0), ("seconds", 6 / 7)])
def test_the_axis_of_the_curves(folders, x, last):
    text = written(folders.three(), folders.root, x=x)
    points = re.search(r"data-points='([^']*)'", text)[1]
    found = [float(point.split(",")[2]) for point in points.strip("[]").split("],[")]
    assert max(found) == pytest.approx(last, abs=1e-3)
    assert f"data-unit='{x[:-1]}'" in text


def test_names_are_escaped(folders):
    runs = [folders.make("<b>&'\"" + str(index), method__widths=[index]) for index in range(2)]
    text = written(runs, folders.root, command="<script>")
    assert "<b>&'" not in text and "&lt;script&gt;" in text
    assert "&lt;b&gt;&amp;&#x27;&quot;1" in text


def test_columns_without_results_are_not_in_the_table_of_results(folders):
    runs = folders.three()
    (runs[2] / "results.json").unlink()
    text = written(runs, folders.root)
    tables = text.split("<table class='compared'>")[1:]
    assert [table.partition("</thead>")[0].count("wide") for table in tables] == [1, 0]
    assert "wide is not finished" in text and len(figures(text)) == 2


def test_runs_without_metrics_have_no_curves(folders):
    runs = folders.three()
    for run in runs:
        (run / "metrics.jsonl").unlink()
    text = written(runs, folders.root)
    assert not figures(text) and "<h2>Training</h2>" not in text and "60.0" in text


def test_what_is_no_number_is_a_gap_of_a_curve(folders):
    runs = folders.three()
    with (runs[0] / "metrics.jsonl").open("a") as file:
        for value in (1.0, None, "text", [1], 10**400, 1.0):
            file.write(json.dumps({"step": 70, "loss/encoder": value}) + "\n")
    first, _ = figures(written(runs, folders.root))
    (line, *_) = re.findall(r"<path data-column='0' class='main k0' d='([^']*)'", first)
    assert line.count("M") == 2


def test_controls_are_hidden_until_they_are_asked_for(folders):
    rows = [run_folders.row("y", 0.5), run_folders.row("pca", 0.4, representation="pca")]
    runs = [folders.make(f"run{index}", rows=rows, method__widths=[index]) for index in range(2)]
    text = written(runs, folders.root)
    assert "id='controls'" in text and "<tr class='control'><th scope='row'>pca" in text
    assert ".compared tr.control { color: var(--soft); display: none; }" in style.CSS
    assert "id='controls'" not in written(folders.three(), folders.root)
