"""Lists of image files: order, splits, labels, and every mistake in one sentence."""

import pickle

import numpy as np
import pytest
from PIL import Image

from dim_jax import contracts, data


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder with i.png, 0 <= i < 10, of which every pixel is i."""
    folder = tmp_path_factory.mktemp("images")
    for i in range(10):
        Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(folder / f"{i}.png")
    (folder / "empty.png").touch()
    return folder


def load(folder, text, encoding="utf-8", **options):
    if text is not None:
        (folder / "list.csv").write_bytes(text.encode(encoding))
    return data.load(f"list:{folder}/list.csv", **options)


def shown(split) -> list[int]:
    return split.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_splits_and_labels_in_the_order_of_rows(images, separator, encoding):
    rows = ["path,label,split", "3.png,été,train", '"1.png",b,test', "./0.png,b,train"]
    rows += ["", f"{images}/9.png,b,train", "5.png,été,other"]
    loaded = load(images, "\r\n".join(rows).replace(",", separator), encoding)
    train, test = loaded.splits["train"], loaded.splits["test"]
    assert shown(train) == [3, 0, 9] and shown(test) == [1]
    assert train.names == ("3.png", "0.png", f"{images}/9.png")
    assert loaded.facts.classes == ("b", "été") and train.labels.tolist() == [1, 0, 0]
    assert loaded.notes == (f"Not used of {images}/list.csv: the splits other.",)


def test_integers_are_in_the_order_of_their_values(images):
    rows = [f"{i}.png,{i % 2 * 8 + 2},{('train', 'val')[i > 5]}" for i in range(10)]
    loaded = load(images, "\n".join(["file_name,Class,split", *rows]))
    assert loaded.facts.classes == ("2", "10")
    assert loaded.splits["train"].labels.tolist() == [0, 1] * 3
    assert shown(loaded.splits["test"]) == [6, 7, 8, 9]
    names = load(images, "path,label\n0.png,01\n1.png,1\n2.png,1\n3.png,01").facts.classes
    assert names == ("01", "1")


def test_held_out_rows_are_those_of_a_folder_of_the_same_names(images, tmp_path):
    for i in range(10):
        (tmp_path / f"{i}.png").write_bytes((images / f"{i}.png").read_bytes())
    loaded = load(images, "\n".join(["path", *(f"{i}.png" for i in range(10))]))
    folder = data.load(f"folder:{tmp_path}")
    for role in ("train", "test"):
        assert loaded.splits[role].names == folder.splits[role].names
        np.testing.assert_array_equal(loaded.splits[role].images, folder.splits[role].images)
    assert loaded.facts.classes is None


def test_streamed_images_are_those_in_memory(images):
    text = "path,label\n" + "\n".join(f"{9 - i}.png,{i // 5}" for i in range(10))
    resident, streamed = (
        load(images, text, road=road, image_size=4) for road in ("resident", "streaming")
    )
    for role, split in streamed.splits.items():
        np.testing.assert_array_equal(split.images[:], resident.splits[role].images)
        np.testing.assert_array_equal(split.labels[:], resident.splits[role].labels)
        assert len(pickle.loads(pickle.dumps(split.images.source))) == len(split.images)
    assert streamed.fingerprint == resident.fingerprint


def test_the_columns_can_be_named(images):
    text = "scan,species,path\n0.png,a,x\n1.png,a,x\n2.png,b,x\n3.png,b,x\n"
    loaded = load(images, text, image_column="scan", label_column="species")
    assert loaded.facts.classes == ("a", "b")
    assert sorted(loaded.splits["train"].names + loaded.splits["test"].names)[0] == "0.png"


def test_all_rows_are_read_in_their_order(images):
    (images / "list.csv").write_text("path,label,split\n7.png,b,test\n2.png,a,train\n5.png,b,x")
    loaded = data.load_all(f"list:{images}/list.csv")
    assert loaded.splits["all"].images[:][:, 0, 0, 0].tolist() == [7, 2, 5]
    assert loaded.splits["all"].labels.tolist() == [1, 0, 1]
    assert loaded.facts.classes == ("a", "b")


def test_another_label_is_noticed(images):
    text = "path,label,split\n0.png,a,train\n1.png,b,train\n2.png,a,train\n3.png,b,test"
    before = load(images, text).fingerprint
    assert data.difference(before, load(images, text).fingerprint) is None
    after = load(images, text.replace("2.png,a", "2.png,b")).fingerprint
    assert data.difference(before, after) == "the labels of train images changed since"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "name,label\n0.png,a",
            r"no column of paths \(path, .*\) but name, label: set data\.image",
        ),
        (
            "path\n0.png\n20.png",
            r"row 3 of .*list\.csv names .*20\.png, which cannot .*No such file",
        ),
        ("path\n0.png\n.", r"row 3 of .* names .*, which is not a file"),
        ("path\n0.png\nempty.png", r"row 3 of .*empty\.png, which is an empty file"),
        ("path\n0.png\n1.png\n./0.png", r"names 0\.png in the rows 2 and 4"),
        ("path,label\n0.png,a\n\n1.png,", r"row 4 of .* has no label, as 1 of 2 rows"),
        ("path,split\n0.png,train\n1.png,", r"row 3 of .* has no split"),
        ("path,label\n,a", r"row 2 of .* has no path, .*remove the rows$"),
        ("path,label\n0.png,a,b", r"row 2 of .* has 3 cells and the first row has 2"),
        ("path,label\n0.png", r"row 2 of .* has 1 cell and the first row has 2"),
        ("path,path\n0.png,1.png", r"has 2 columns called path"),
        ("", r"list\.csv is empty: write a first row"),
        ("path,label\n", r"list\.csv has no row but the first"),
        ("path\n0.png", r"holds 1 images"),
        ('path\n"0.png', r"not a table of text in UTF-8 \("),
        ("path,split\n0.png,a\n1.png,b", r"has the splits a, b: set data\.train_split"),
    ],
)
def test_mistakes_are_one_sentence(images, text, words):
    with pytest.raises(contracts.UserError, match=words) as error:
        load(images, text)
    assert "\n" not in str(error.value)


def test_lists_that_cannot_be_read(images, tmp_path):
    for encoding in ("utf-16", "latin-1"):
        with pytest.raises(contracts.UserError, match=r"not a table of text in UTF-8"):
            load(images, "path,label\n0.png,é", encoding)
    with pytest.raises(contracts.UserError, match=r"list\.csv cannot be read \(No such file"):
        load(tmp_path, None)
    with pytest.raises(contracts.UserError, match=r"nothing is after list:"):
        data.load("list:")
    for role in ("image", "label"):
        with pytest.raises(contracts.UserError, match=rf"data\.{role}_column is x and .* path, y"):
            load(images, "path,y\n0.png,1", **{f"{role}_column": "x"})
