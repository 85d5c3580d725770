"""The command: files to arguments of the estimate, and its table, files and exit codes."""

import json
import subprocess
import sys

import made_up
import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.mi import __main__ as module
from dim_jax.mi import columns, command, files

N = 120


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with files of samples."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    np.save("x.npy", draw(N, 2))
    np.save("y.npy", draw(N, seed=1))
    np.savez("both.npz", x=draw(N, 2), y=draw(N, seed=1), kind=np.arange(N) % 3)
    lines = ["height, weight,kind,day,ok,note"]
    for index, (a, b) in enumerate(draw(N, 2)):
        lines.append(f'{a},{b},{index % 3},day {index // 4},{index % 2 == 0},"a, b"')
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


class Stand:
    """A stand-in for `mi.estimate`, which keeps its arguments."""

    def __init__(self, **changes):
        self.changes = changes

    def __call__(self, x, y, **options):
        self.x, self.y, self.options = x, y, options
        return made_up.estimate(**self.changes)


def ran(*arguments, code=0, **changes):
    stand = Stand(**changes)
    assert command.run(arguments, stand) == code
    return stand


def mistake(capsys, *arguments, estimate=None):
    """The sentence of a mistake."""
    assert command.run(arguments, estimate or Stand()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("dim_jax.mi: ") and printed.err.count("\n") == 1
    return printed.err


def test_two_arrays(folder, capsys):
    stand = ran("x.npy", "y.npy")
    np.testing.assert_array_equal(stand.x, draw(N, 2))
    np.testing.assert_array_equal(stand.y, draw(N, seed=1))
    assert stand.options == {
        **dict(given=None, blocks=None, discrete=None, method="default", confidence=0.95),
        **dict(permutations=1000, seed=0, progress=None),
    }
    printed = capsys.readouterr()
    assert printed.err == ""
    for text in (
        *("0.523 nats = 0.755 bits", "0.481 to 0.572 nats", "central 95 %", "0.001 against"),
        *("at least 0.412 nats (95 %, one-sided)", "yes: the critics agree", "an estimate"),
        *("x and y are dependent", "That x causes y", "constant columns are left out", "Time"),
    ):
        assert text in printed.out, text
    assert all(len(line) <= 100 for line in printed.out.splitlines())


def test_options_reach_the_estimate(folder):
    np.save("b.npy", np.arange(N) // 10)
    data = "x.npy y.npy --given y.npy --blocks b.npy --discrete y,given"
    text = f"{data} --method knn --confidence 0.9 --permutations=99 --seed 3"
    stand = ran(*text.split())
    np.testing.assert_array_equal(stand.options.pop("given"), draw(N, seed=1))
    np.testing.assert_array_equal(stand.options.pop("blocks"), np.arange(N) // 10)
    assert stand.options == {
        **dict(discrete=("y", "given"), method="knn", confidence=0.9, permutations=99, seed=3),
        "progress": None,
    }
    assert ran("x.npy", "y.npy", "--discrete", "none").options["discrete"] == ()


def test_arrays_of_an_archive(folder):
    stand = ran("both.npz", "--x", "x,kind", "--y=y", "--blocks=kind")
    assert [*stand.x] == ["x[:, 0]", "x[:, 1]", "kind"]
    assert columns.Columns.of(stand.x, "x").values.shape == (N, 3)
    np.testing.assert_array_equal(stand.y, draw(N, seed=1))
    assert ran("both.npz", "--x=x", "--y=kind").y.dtype.kind == "i"


def test_columns_of_text(folder):
    arguments = ("--x", "height,weight", "--y", "kind", "--given=ok", "--blocks=day")
    stand = ran("table.csv", *arguments)
    np.testing.assert_array_equal(np.stack([*stand.x.values()], 1), draw(N, 2))
    assert columns.Columns.of(stand.x, "x").names == ("height", "weight")
    assert columns.Columns.of(stand.y, "y").discrete
    assert columns.Columns.of(stand.options["given"], "given").discrete
    assert stand.options["blocks"][4] == "day 1"


def test_text_in_many_parts(folder, monkeypatch):
    monkeypatch.setattr(files, "_CHUNK", 7)
    (column,) = files.read("table.csv", "weight", option="--x").values()
    np.testing.assert_array_equal(column, draw(N, 2)[:, 1])


def test_other_forms_of_text(folder):
    np.savetxt("plain.csv", draw(N, 2), delimiter=",")
    np.testing.assert_array_equal(files.read("plain.csv", "2")["2"], draw(N, 2)[:, 1])
    (folder / "a.tsv").write_text("\ufeffone\ttwo words\n1\t2.5\n\n3\tNA\n", encoding="utf-8")
    read = files.read("a.tsv")
    assert read["one"].dtype.kind == "i" and [*read["one"]] == [1, 3]
    np.testing.assert_array_equal(read["two words"], [2.5, np.nan])
    (folder / "b.csv").write_text('"a,b";c\n1;2\n')
    assert [*files.read("b.csv", '"a,b"')] == ["a,b"]


def test_parquet(folder, monkeypatch, capsys):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"a": draw(N), "k": np.arange(N) % 3, "s": ["text"] * N})
    parquet.write_table(table, "table.parquet")
    stand = ran("table.parquet", "--x=a", "--y=k")
    np.testing.assert_array_equal(stand.x["a"], draw(N))
    assert columns.Columns.of(stand.y, "y").discrete
    capsys.readouterr()
    assert "no 'b': use one of a, k, s" in mistake(capsys, "table.parquet", "--x=b", "--y=k")
    (folder / "no.parquet").write_text("text")
    assert "is no Parquet file" in mistake(capsys, "no.parquet", "--x=a", "--y=k")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    sentence = mistake(capsys, "table.parquet", "--x=a", "--y=k")
    assert "pyarrow, which is not installed; install it, or give a .csv" in sentence


def test_nothing_is_unpickled(folder, capsys):
    np.save("p.npy", np.array([{"a": 1}] * N, object), allow_pickle=True)
    np.savez("p.npz", p=np.array([{"a": 1}] * N, object))
    for arguments in (("p.npy", "y.npy"), ("p.npz", "--x=p", "--y=p")):
        assert "is pickled; write it again with np.save" in mistake(capsys, *arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("", "no file of samples is given; for example: python -m dim_jax.mi x.npy y.npy"),
        ("a b c", "got 3 files; give one or two"),
        ("x.npy", "x.npy is the only file, and --x and --y must name the columns"),
        ("both.npz --x x", "and --y must name the columns"),
        ("x.npy none.npy", "cannot read none.npy: No such file"),
        ("x.txt y.npy", "x.txt is none of the files .npy, .npz, .csv, .tsv, .parquet"),
        (". y.npy", ". is none of the files"),
        ("x.npy y.npy --x=a", "x.npy has a single array without a name; leave --x out"),
        ("both.npz both.npz", "both.npz has the arrays x, y, kind; choose with --x and --y"),
        ("both.npz --x=z --y=y", "--x: both.npz has no 'z': use one of kind, x, y"),
        ("table.csv --x=hight --y=kind", "has no 'hight': did you mean 'height'?"),
        ("table.csv --x=a, --y=kind", "--x is 'a,'; give names with commas between them"),
        (
            "table.csv --x=day --y=kind",
            "row 0 (from 0) of table.csv has 'day 0' in the column 'day'",
        ),
        ("table.csv --x=kind --y=ok --blocks=day,ok", "--blocks has the columns day, ok; give one"),
        ("x.npy y.npy --given=z", "--given is 'z', and with two files it must be a file"),
        ("damaged.npy y.npy", "damaged.npy is damaged"),
        ("text.npy y.npy", "is not NumPy's format, or is pickled"),
        ("text.npz y.npy", "is not NumPy's format, or is pickled"),
        ("short.csv y.npy", "row 1 (from 0) of short.csv has 1 cells, and there are 2 columns"),
        ("twice.csv y.npy", "twice.csv has several columns 'a'; rename them"),
        ("names.csv y.npy", "names.csv has a line of names and no lines of values"),
        ("empty.csv y.npy", "empty.csv is empty"),
        ("latin.csv y.npy", "latin.csv is no text in UTF-8"),
        ("x.npy y.npy --metod=knn", "unknown option '--metod': did you mean '--method'?"),
        ("x.npy y.npy --seed=a", "argument --seed: 'a' is no count; give an integer"),
        ("x.npy y.npy --seed", "argument --seed: expected one argument"),
        ("x.npy y.npy --permutations=-1", "'-1' is no count; give an integer of 0"),
        ("x.npy y.npy --confidence=95", "'95' is no level; give one from 0.5 to below 1"),
        ("x.npy y.npy --discrete=z", "unknown argument in discrete 'z'"),
        ("x.npy y.npy --json=x.npy", "--json is x.npy; give a file that ends in .json"),
        ("x.npy y.npy --report=other.html", "other.html exists and is no file that this command"),
        ("x.npy y.npy --json=folder.json", "folder.json exists and is no file"),
        ("x.npy y.npy --json=x.npy/a.json", "cannot write"),
        ("x.npy y.npy --report=", "--report is an empty path"),
    ],
)
def test_mistakes_are_one_sentence(folder, capsys, arguments, sentence):
    (folder / "damaged.npy").write_bytes((folder / "x.npy").read_bytes()[:200])
    for name, text in {
        **{"text.npy": "1, 2", "text.npz": "1, 2", "short.csv": "a,b\n1,2\n3\n"},
        **{"twice.csv": "a,a\n1,2\n", "names.csv": "a,b\n", "empty.csv": "", "other.html": "<p>"},
    }.items():
        (folder / name).write_text(text)
    (folder / "latin.csv").write_bytes("größe\n1\n".encode("latin-1"))
    (folder / "folder.json").mkdir()
    assert sentence in mistake(capsys, *arguments.split())


def test_mistakes_of_the_estimate(folder, capsys):
    def refuse(*_, **__):
        raise contracts.UserError("x is constant; give columns that vary")

    assert mistake(capsys, "x.npy", "y.npy", "--json=a.json", estimate=refuse) == (
        "dim_jax.mi: x is constant; give columns that vary\n"
    )
    assert not (folder / "a.json").exists()


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(KeyboardInterrupt, 130, "Ctrl-C"), (MemoryError, 2, "out of memory")],
)
def test_ends_of_the_command(folder, capsys, error, code, said):
    def stop(*_, **__):
        raise error

    assert command.run(["x.npy", "y.npy"], stop) == code
    assert said in capsys.readouterr().err


def test_help(folder, capsys):
    assert command.run(["--help"]) == 0
    printed = capsys.readouterr().out
    assert "--given" in printed and "Exit codes: 0 done" in printed


def test_files_are_written_and_replaced(folder, capsys):
    for _ in range(2):
        ran("both.npz", "--x=x", "--y=kind", "--json=out/a.json", "--report", "a b.html")
    printed = capsys.readouterr().out
    assert "a.json" in printed.splitlines()[-2] and "a b.html" in printed.splitlines()[-1]
    written = json.loads((folder / "out" / "a.json").read_text())
    assert written["nats"] == 0.523 and len(written["null"]) == 1000 and written["seconds"] >= 0
    repeat = "python -m dim_jax.mi both.npz --x=x --y=kind --json=out/a.json --report 'a b.html'"
    assert written["command"] == repeat and written["program"] == "dim_jax.mi"
    assert "&#x27;a b.html&#x27;" in (folder / "a b.html").read_text()
    assert not [*folder.rglob("*draft*")]


def test_json_has_no_infinities(folder):
    changes = dict(nats=-np.inf, null=np.array([np.nan, 1.0]), guaranteed=None)
    ran("x.npy", "y.npy", "--json=a.json", **changes)
    written = json.loads((folder / "a.json").read_text())
    assert written["nats"] is None and written["null"] == [None, 1.0]


def test_progress_on_a_terminal(folder, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")

    def estimate(*_, progress, **__):
        progress(0.5, "fold 1 of 3")
        return made_up.estimate()

    assert command.run(["x.npy", "y.npy"], estimate) == 0
    assert "fold 1 of 3" in capsys.readouterr().err


def test_module_ends_with_an_exit_code(folder, capsys):
    assert module.main(["x.npy"]) == 2
    assert "x.npy is the only file" in capsys.readouterr().err


@pytest.mark.slow
def test_pipe_that_nobody_reads(folder):
    text = "import sys; from dim_jax.mi import __main__; sys.exit(__main__.main(['--help']))"
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.wait(timeout=120) == 0
