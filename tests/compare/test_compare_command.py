"""The command: its table, files and exit codes, and one sentence for every mistake."""

import json
import subprocess
import sys

import pytest
import run_folders

from dim_jax.compare import command


def ran(capsys, *arguments):
    """The output of the command."""
    assert command.run([str(argument) for argument in arguments]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def mistake(capsys, *arguments):
    """The sentence of a mistake."""
    assert command.run([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("dim_jax.compare: ") and printed.err.count("\n") == 1
    return printed.err


def test_the_table_has_settings_results_and_marks(folders, capsys):
    out = ran(capsys, *folders.three())
    words = [line.split() for line in out.splitlines()]
    assert ["base", "wide"] in words and ["2", "seeds:", "0,", "1", "seed", "0"] in words
    assert ["method.widths", "[16,", "16]", "[32,", "32]"] in words
    assert ["y", "60.0", "±14.1", "80.0*"] in words
    assert "± is the standard deviation over the runs" in out and "wrote" in out
    assert (folders.root / "compare.html").exists()


def test_columns_that_do_not_fit_stand_below(folders, capsys):
    runs = [folders.make(f"run{index}", method__widths=[index]) for index in range(9)]
    out = ran(capsys, *runs)
    assert max(map(len, out.splitlines())) <= 120
    for index in range(9):
        assert f"[{index}]" in out and f"run{index}" in out


def test_controls_are_printed_on_request(folders, capsys):
    rows = [run_folders.row("y", 0.5), run_folders.row("y", 0.4, representation="untrained")]
    runs = [folders.make(f"run{index}", rows=rows, method__widths=[index]) for index in range(2)]
    assert "untrained" not in ran(capsys, *runs)
    assert "y, untrained" in ran(capsys, *runs, "--controls")


def test_chosen_metrics(folders, capsys):
    runs = folders.three()
    out = ran(capsys, *runs, "--metric", "loss", "--json", "c.json")
    page = (folders.root / "compare.html").read_text()
    assert "loss/encoder" in page and "local/nats" not in page and "MLP probe" not in out
    assert json.loads((folders.root / "c.json").read_text())["lines"] == []
    assert "did you mean 'accuracy'" in mistake(capsys, *runs, "--metric", "acuracy")


def test_written_files_are_replaced_and_others_are_not(folders, capsys):
    runs = folders.three()
    for _ in range(2):
        ran(capsys, *runs, "--json", "c.json", "--out", "sub/page.html")
    content = json.loads((folders.root / "c.json").read_text())
    assert content["program"] == "dim_jax.compare" and content["columns"][0]["name"] == "base"
    page = folders.root / "sub" / "page.html"
    page.write_text("mine")
    said = mistake(capsys, *runs, "--out", "sub/page.html")
    assert "no file that this command wrote" in said and page.read_text() == "mine"
    (folders.root / "data.json").write_text("[1]")
    assert "no file that this command wrote" in mistake(capsys, *runs, "--json", "data.json")
    assert "ends in .html" in mistake(capsys, *runs, "--out", "page.pdf")


def _no_folder(folders):
    return "nowhere", "does not exist"


def _a_file(folders):
    (folders.root / "file").write_text("")
    return "file", "it is a file"


def _an_empty_folder(folders):
    (folders.root / "empty").mkdir()
    return "empty", "has no config.json"


def _a_folder_of_runs(folders):
    folders.make("many/one")
    return "many", "it holds the runs one; give them, as many/*"


def _a_damaged_config(folders):
    (folders.make("bad", seed=9) / "config.json").write_text('{"train"')
    return "bad", "config.json is damaged"


def _another_config(folders):
    (folders.make("bad", seed=9) / "config.json").write_text('{"train": {}, "evals": [1]}')
    return "bad", "config.json is damaged or not the config of a run"


def _a_seed_that_is_none(folders):
    return folders.make("bad", seed={"a": 1}), "config.json is damaged"


def _damaged_results(folders):
    (folders.make("bad", seed=9) / "results.json").write_text('{"run": {}, "rows": 3}')
    return "bad", "results.json is damaged"


def _a_damaged_line(folders):
    with (folders.make("bad", seed=9) / "metrics.jsonl").open("a") as file:
        file.write('{"step"\n{"step": 80}\n')
    return "bad", "line 7 of"


def _the_same_run(folders):
    return "./wide/../wide", "is given twice"


def _an_unknown_option(folders):
    return "--contrls", "did you mean '--controls'"


def _an_unknown_axis(folders):
    return "--x=hours", "invalid choice"


@pytest.mark.parametrize(
    "make",
    [
        *(_no_folder, _a_file, _an_empty_folder, _a_folder_of_runs, _a_damaged_config),
        *(_another_config, _a_seed_that_is_none, _damaged_results, _a_damaged_line, _the_same_run),
        *(_an_unknown_option, _an_unknown_axis),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(make, folders, capsys):
    runs = folders.three()
    argument, words = make(folders)
    assert words in mistake(capsys, *runs, argument)
    assert not (folders.root / "compare.html").exists()


def test_one_run_cannot_be_compared(folders, capsys):
    assert "needs two runs or more" in mistake(capsys, folders.make("a"))
    assert "got no run" in mistake(capsys)


@pytest.mark.slow
def test_it_starts_without_jax(folders):
    code = (
        "import sys; from dim_jax.compare.__main__ import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 'jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, folders.three())])
    assert done.returncode == 0
