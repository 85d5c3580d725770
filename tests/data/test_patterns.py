"""Files by patterns, and the splits in their names."""

import pytest

from dim_jax import contracts, settings
from dim_jax.data import patterns


def _block(pattern, **options):
    return settings.Data.of({"name": f"shards:{pattern}", **options})


def _names(tmp_path, pattern):
    files = patterns.files(_block(tmp_path / pattern), (".tar", ".tar.gz"))
    return [file.relative_to(tmp_path).as_posix() for file in files]


@pytest.fixture
def folder(tmp_path):
    for name in ("train-000", "train-001", "train-010", "val-0", "[x]/test", ".hidden/no"):
        path = tmp_path / f"{name}.tar"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "train-000.tar.index.npz").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("train-000.tar", ["train-000.tar"]),
        ("train-{000..001}.tar", ["train-000.tar", "train-001.tar"]),
        ("train-{001..000}.tar", ["train-001.tar", "train-000.tar"]),
        ("{val-{0..0},train-{000,010}}.tar", ["val-0.tar", "train-000.tar", "train-010.tar"]),
        ("train-*", ["train-000.tar", "train-001.tar", "train-010.tar"]),
        ("{v,t}*", ["val-0.tar", "train-000.tar", "train-001.tar", "train-010.tar"]),
        ("[x]", ["[x]/test.tar"]),
        ("", ["[x]/test.tar", "train-000.tar", "train-001.tar", "train-010.tar", "val-0.tar"]),
    ],
)
def test_patterns(folder, pattern, names):
    assert _names(folder, pattern) == names


def test_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert patterns.files(_block("~/val-*"), (".tar",)) == [folder / "val-0.tar"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("train-{000..002}.tar", "1 of the files of .*, such as .*train-002.tar: restore"),
        (
            "other-*.tar",
            "no .tar file is there for .* holds .*x.*, train-000.tar, .*, ...; set",
        ),
        ("none/*.tar", "the folder .*none does not exist; set data.name to shards:PATTERN"),
        ("{0..999999}.tar", "{0..999999} stands for more than 100,000 files"),
        ("{0..999}{0..999}.tar", "stands for more than 100,000 files"),
    ],
)
def test_no_files(folder, pattern, message):
    with pytest.raises(contracts.UserError, match=message):
        _names(folder, pattern)


def test_no_pattern():
    with pytest.raises(contracts.UserError, match="shards: without a pattern: set it to shards:P"):
        patterns.files(_block(""), (".tar",))


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train-000.tar", "val-003.tar"], ["train", "val"]),
        (["test-00000-of-00001.parquet"], ["test"]),
        (["imagenet_TRAIN_00.tar", "extra-7.tar"], ["train", "extra"]),
        (["train/0.tar", "Test/0.tar"], ["train", "test"]),
        (["train/a/0.tar", "val/a/0.tar", "0.tar"], ["train", "val", "0"]),
        (["test/0.tar", "test/1.tar"], None),  # a folder that all are in names nothing
        (["train-test-0.tar"], None),
        (["0.tar", "1.tar"], None),
    ],
)
def test_splits(tmp_path, names, splits):
    assert patterns.splits([tmp_path / name for name in names], _block("x")) == splits


def test_splits_that_are_asked_for(tmp_path):
    files = [tmp_path / name for name in ("a-0.tar", "a-1.tar", "b/0.tar")]
    assert patterns.splits(files, _block("x", train_split="a")) == ["a", "a", "b"]
