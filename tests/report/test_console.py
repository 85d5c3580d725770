"""What is printed: plain lines without a terminal, a bar with one, and tables that fit."""

import io
import re

import pytest

from dim_jax.report import console, tables


@pytest.fixture
def out():
    return io.StringIO()


def row(step, **more):
    return {"step": step, "loss/encoder": 3.25, "time/images_per_second": 12345.6, **more}


def train(shown, steps=1000, start=0):
    with shown.progress(steps, start) as progress:
        for step in range(start + 1, steps + 1):
            progress.update(step, row(step))


def test_plain_lines_are_few_and_end_with_the_last_step(out):
    train(console.Console(out))
    lines = out.getvalue().splitlines()
    assert 20 <= len(lines) <= 22
    assert lines[0].startswith("step 1/1,000")
    assert lines[-1].startswith("step 1,000/1,000 100 %")
    assert all("encoder 3.25" in line and "12,346 images/s" in line for line in lines)
    assert "\x1b" not in out.getvalue()


def test_plain_lines_of_a_resumed_run_cover_the_rest(out):
    train(console.Console(out), steps=1000, start=900)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("step 901/1,000")
    assert 20 <= len(lines) <= 22


def test_a_terminal_gets_one_bar(out, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    shown = console.Console(out, width=100)
    with shown.progress(10) as progress:
        progress.update(4, row(4, **{"loss/a": 1.0, "loss/b": 2.0}))
        shown.log("saved [step 4]")
        progress.update(10, row(10))
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
    assert "saved [step 4]" in text
    assert "10/10" in text
    assert "━" in text
    assert "loss b" not in text


def test_time_left_leaves_out_what_came_before_the_first_update():
    shown = []
    times = iter([500.0, 510.0, 520.0, 530.0])  # the first update comes after compilation
    progress = console.Progress(
        400, lambda step, row, eta: shown.append(eta), clock=lambda: next(times)
    )
    for step in (100, 200, 300, 400):
        progress.update(step, row(step))
    assert shown == ["", "20 s left", "10 s left", ""]


def test_losses_that_are_null_are_shown_as_nan(out):
    with console.Console(out).progress(1) as progress:
        progress.update(1, {"step": 1, "loss/encoder": None})
    assert "encoder nan" in out.getvalue()


def test_a_silent_console_prints_nothing(out, finished):
    shown = console.Console(out, enabled=False)
    shown.log("x")
    train(shown, 10)
    shown.results(finished)
    assert out.getvalue() == ""


def test_log_prints_long_lines_and_brackets_as_they_are(out):
    message = "[red] " + 60 * "word "
    console.Console(out).log(message)
    assert out.getvalue() == message + "\n"


@pytest.mark.parametrize("width", [80, 100])
def test_results_fit_the_width_and_hold_every_number(out, finished, width):
    console.Console(out, width=width).results(finished)
    text = out.getvalue()
    *table, sentence = text.splitlines()
    assert max(len(line) for line in table) <= width
    assert "…" not in text
    for result in finished["rows"]:
        value = tables.metric_text(result["metric"], result["value"]).removesuffix(" %")
        assert value in text
        if result["std"] is not None and result["metric"] == "accuracy":
            assert f"{value} ±{100 * result['std']:.1f}" in text
        if result["published"] is not None:
            assert str(result["published"]) in text
    assert sentence.startswith("y: 55.1 % with an MLP probe")
    assert table[-1] == "Published: Hjelm et al. 2019, Table 1. They are of mlp-paper-v1."


def test_results_put_trained_and_controls_on_one_line(out, finished):
    console.Console(out).results(finished)
    line = next(line for line in out.getvalue().splitlines() if line.startswith("  conv"))
    assert re.findall(r"\d+\.\d+(?! *±)", re.sub(r"±\S+", "", line)) == [
        "58.0", "43.3", "46.0", "46.7", "75.21",
    ]  # fmt: skip


def test_the_permuted_control_is_one_line_under_its_heading(out, finished):
    permuted = {**finished["rows"][2], "eval": "mlp_permuted", "labels": "all, permuted"}
    finished["rows"].insert(0, {**permuted, "value": 0.1013, "std": 0.0034, "published": None})
    console.Console(out, width=100).results(finished)
    lines = out.getvalue().splitlines()
    heading = next(index for index, line in enumerate(lines) if "permuted" in line)
    assert lines[heading] == "MLP probe  mlp-v1 · all labels, permuted · 3 fits"
    assert lines[heading + 1].split() == ["y", "64-d", "10.1", "±0.3", "-", "-", "-"]
    assert not lines[heading + 2].strip()
    assert sum("permuted" in line for line in lines) == 1


def test_results_without_rows_are_one_sentence(out):
    console.Console(out).results({"run": {"steps": 10, "dataset": "folder"}, "rows": []})
    assert out.getvalue() == ("Trained for 10 steps on folder; no probe accuracies in this run.\n")
