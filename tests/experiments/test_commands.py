"""Every experiment can be started: its last lines, which importing it does not run."""

import pathlib
import runpy

import pytest

# Not experiments.__path__: pytest may have put this folder's parent first among the imports.
FOLDER = pathlib.Path(__file__).parent.parent.parent / "experiments"
WITH_BUDGETS = sorted(
    path.stem
    for path in FOLDER.glob("*.py")
    if any(call in path.read_text() for call in ("table.main(", "table.budget(", "table.options("))
)


@pytest.mark.parametrize("name", WITH_BUDGETS)
def test_help_names_the_budgets(name, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 0
    assert "--budget" in capsys.readouterr().out


def test_all_of_them_are_found():
    assert {"bench_bounds", "dim_a1_jsd_vs_mi", "dim_figure11", "dim_table3"} <= set(WITH_BUDGETS)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("mi_staircase", "--critic=x"),
        ("mi_self_consistency", "--part=x"),
        ("mi_self_consistency", "--only=x"),
        ("wdm_grids", "--part=x"),
        ("mi_and_representations", "--only=x"),
        ("cpc_labels", "--kinds=linear,x"),
        ("cpc_labels", "--seed=x"),
        ("mi_benchmark", "--part=x"),
    ],
)
def test_wrong_options_end_with_one_sentence(name, option, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [name, option, "--budget=smoke"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'x'" in line
