"""Batches from disk: those of the resident road, from any step, for any process, by any worker."""

import dataclasses
import io
import json

import jax
import numpy as np
import pytest
from PIL import Image

from dim_jax import contracts, data
from dim_jax.data import resident, streaming

COUNT, BATCH, SEED = 26, 4, 3  # 6 steps an epoch, two images left out


def png(image) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (COUNT, 6, 5, 3)).astype(np.uint8)


@pytest.fixture
def records(write_tfds, images):
    """The source of a small TFDS set."""
    examples = [{"image": png(image), "label": row % 3} for row, image in enumerate(images)]
    root = str(write_tfds("shapes", {"train": examples, "test": examples[:2]}, (6, 5, 3), "abc"))
    return data.load("shapes", data_dir=root, road="streaming").splits["train"].images.source


def settings(source, **changes) -> streaming.Settings:
    return streaming.Settings(source, SEED, BATCH, 20, worker_threads=2, **changes)


def batches(source, first=0, last=20, saved=None, **changes) -> list[dict]:
    stream = streaming.Stream(settings(source, **changes), first, saved)
    found = [next(stream) for _ in range(first, last)]
    stream.close()
    return found


def same(one: list[dict], other: list[dict]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for key in ("images", "labels", "index"):
            np.testing.assert_array_equal(a[key], b[key])


def test_they_are_those_of_the_resident_road(records, images):
    labels = np.arange(COUNT, dtype=np.int32) % 3
    orders = resident.epoch_orders(SEED, 0, 4, COUNT)
    wanted = []
    for step in range(20):
        rows = resident.batch_indices(orders, 0, step, COUNT // BATCH, BATCH)
        wanted.append(resident.gather(jax.numpy.asarray(images), jax.numpy.asarray(labels), rows))
    found = batches(records)
    same(found, wanted)
    assert found[0]["labels"].dtype == found[0]["index"].dtype == np.int32
    same(batches(records, first=8), wanted[8:])  # in the middle of an epoch


def test_the_state_of_the_iterator_is_json_and_continues_in_the_middle_of_an_epoch(records):
    stream = streaming.Stream(settings(records), 2)
    for _ in range(7):
        next(stream)
    saved = json.loads(json.dumps(stream.state()))
    rest = [next(stream) for _ in range(11)]
    with pytest.raises(StopIteration):
        next(stream)
    stream.close()
    same(batches(records, 9, 20, saved), rest)
    shorter = streaming.Stream(dataclasses.replace(settings(records), total_steps=9), 2)
    for _ in range(7):
        next(shorter)
    same(batches(records, 9, 20, json.loads(json.dumps(shorter.state()))), rest)
    shorter.close()
    # One that belongs to another set-up: the step says all.
    same(batches(records, 9, 20, {**saved, "worker_processes": 3}), rest)
    with pytest.raises(RuntimeError, match="the input is at step 9 and training at 10"):
        batches(records, 10, 11, saved)


def test_processes_read_the_rows_of_their_devices_and_nothing_else(records, monkeypatch):
    whole = batches(records)
    read = []
    original = type(records).read

    def noted(self, rows):
        read.append(len(rows))
        return original(self, rows)

    monkeypatch.setattr(type(records), "read", noted)
    parts = [batches(records, rows=rows) for rows in ((0, 1), (2, 3))]
    joined = [
        {key: np.concatenate([a[key], b[key]]) for key in a} for a, b in zip(*parts, strict=True)
    ]
    same(joined, whole)
    assert set(read) == {BATCH // 2}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_worker_processes_make_the_same_batches(records, workers):
    same(batches(records, 3, 15, worker_processes=workers), batches(records, 3, 15))


@pytest.mark.slow
def test_worker_processes_go_on_where_they_were_and_name_a_damaged_record(write_tfds, images):
    examples = [{"image": png(image)} for image in images]
    examples[int(streaming.indices(SEED, 4, COUNT, BATCH)[0])]["image"] = b"no image"
    root = str(write_tfds("shapes", {"train": examples, "test": examples[:2]}, (6, 5, 3)))
    source = data.load("shapes", data_dir=root, road="streaming").splits["train"].images.source
    stream = streaming.Stream(settings(source, worker_processes=2), 0)
    found = [next(stream) for _ in range(2)]
    saved = json.loads(json.dumps(stream.state()))
    found += [next(stream) for _ in range(2)]
    with pytest.raises(
        contracts.UserError, match=r"record .* of shapes, split train, is not a read"
    ):
        next(stream)
    stream.close()
    same(batches(source, 2, 4, saved, worker_processes=2), found[2:])


def test_a_damaged_record_is_named(write_tfds, images):
    examples = [{"image": png(image)} for image in images]
    examples[11]["image"] = b"\x00 no image"
    root = write_tfds("shapes", {"train": examples, "test": examples[:2]}, (6, 5, 3))
    source = data.load("shapes", data_dir=str(root), road="streaming").splits["train"].images.source
    with pytest.raises(
        contracts.UserError, match="record 11 of shapes, split train, is not a read"
    ):
        batches(source)
    (file,) = (root / "shapes" / "1.0.0").glob("*train*")
    content = bytearray(file.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    file.write_bytes(content)
    with pytest.raises(contracts.UserError, match="of shapes, split train, "):
        batches(source)


def test_a_folder_streams_what_it_loads(tmp_path):
    for row in range(24):
        path = tmp_path / ("a", "b")[row % 2] / f"{row}.png"
        path.parent.mkdir(exist_ok=True)
        picture = np.random.RandomState(row).randint(0, 256, (9 + row, 12, 3)).astype(np.uint8)
        Image.fromarray(picture).save(path)
    loaded, streamed = (
        data.load(f"folder:{tmp_path}", image_size=8, road=road)
        for road in ("resident", "streaming")
    )
    assert loaded.facts == streamed.facts
    train = loaded.splits["train"]
    assert streamed.splits["train"].names == train.names
    for batch in batches(streamed.splits["train"].images.source):
        np.testing.assert_array_equal(batch["images"], train.images[batch["index"]])
        np.testing.assert_array_equal(batch["labels"], train.labels[batch["index"]])
    (tmp_path / train.names[3]).write_bytes(b"broken")
    with pytest.raises(contracts.UserError, match=r"\.png is not a readable image"):
        batches(streamed.splits["train"].images.source)
