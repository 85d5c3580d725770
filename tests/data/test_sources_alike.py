"""The same images from every kind of source: equal batches, losses and bits, on both roads."""

import csv
import io
import json
import tarfile

import cv2
import numpy as np
import pytest
import training
from PIL import Image

from dim_jax import contracts, data, settings
from dim_jax.data import streaming
from dim_jax.rundir import checkpoint

SIDE, CLASSES = 8, ("ash", "birch", "cedar")
COUNTS = {"train": 60, "test": 18}
SOURCES = ("folder", "npy", "npz", "shards", "parquet", "list", "tfds")


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def examples() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{split: (images, labels)}, sorted by class as folders are."""
    random = np.random.default_rng(0)
    shape = (SIDE, SIDE, 3)
    return {
        split: (
            random.integers(0, 256, (count, *shape), np.uint8),
            np.arange(count) * len(CLASSES) // count,
        )
        for split, count in COUNTS.items()
    }


@pytest.fixture
def names(examples, tmp_path, write_tfds):
    """A function from the kind of a source to `data.load`'s arguments for it."""

    def make(kind: str) -> dict:
        folder = tmp_path / kind
        folder.mkdir()
        return _WRITERS[kind](folder, examples, write_tfds)

    return make


def _folder(folder, examples, _) -> dict:
    for split, (images, labels) in examples.items():
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / split / CLASSES[label] / f"{row:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))
    return dict(name=f"folder:{folder}")


def _together(examples) -> dict[str, np.ndarray]:
    images, labels = (np.concatenate(part) for part in zip(*examples.values(), strict=True))
    splits = np.repeat(list(COUNTS), list(COUNTS.values()))
    return dict(images=images, labels=np.array(CLASSES)[labels], split=splits)


def _npy(folder, examples, _) -> dict:
    for key, values in _together(examples).items():
        np.save(folder / f"{key}.npy", values)
    return dict(name=f"array:{folder}")


def _npz(folder, examples, _) -> dict:
    np.savez(folder / "all.npz", **_together(examples))
    return dict(name=f"array:{folder / 'all.npz'}")


def _shards(folder, examples, _) -> dict:
    for split, (images, labels) in examples.items():
        for shard, rows in enumerate(np.array_split(np.arange(len(images)), 2)):
            with tarfile.open(folder / f"{split}-{shard:03}.tar", "w") as archive:
                for row in rows:
                    members = {"png": png(images[row]), "txt": CLASSES[labels[row]].encode()}
                    for extension, content in members.items():
                        member = tarfile.TarInfo(f"{row:05}.{extension}")
                        member.size = len(content)
                        archive.addfile(member, io.BytesIO(content))
    return dict(name=f"shards:{folder}/*-{{000..001}}.tar", label_column="txt")


def _parquet(folder, examples, _) -> dict:
    arrow = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    from pyarrow import parquet

    for split, (images, labels) in examples.items():
        cells = [{"bytes": png(image), "path": None} for image in images]
        table = arrow.table({"image": cells, "label": [CLASSES[label] for label in labels]})
        parquet.write_table(table, folder / f"{split}-00000-of-00001.parquet", row_group_size=7)
    return dict(name=f"parquet:{folder}/*.parquet")


def _list(folder, examples, _) -> dict:
    with (folder / "list.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "split"])
        for split, (images, labels) in examples.items():
            for row, (image, label) in enumerate(zip(images, labels, strict=True)):
                (folder / f"{split}{row}.png").write_bytes(png(image))
                rows.writerow([f"{split}{row}.png", CLASSES[label], split])
    return dict(name=f"list:{folder / 'list.csv'}")


def _tfds(folder, examples, write_tfds) -> dict:
    records = {
        split: [
            {"image": png(image), "label": int(label)}
            for image, label in zip(images, labels, strict=True)
        ]
        for split, (images, labels) in examples.items()
    }
    root = write_tfds("trees", records, (SIDE, SIDE, 3), CLASSES)
    return dict(name="trees", data_dir=str(root))


_WRITERS = dict(zip(SOURCES, (_folder, _npy, _npz, _shards, _parquet, _list, _tfds), strict=True))


@pytest.mark.parametrize("road", ["resident", "streaming"])
@pytest.mark.parametrize("kind", SOURCES)
def test_images_labels_and_classes(kind, road, names, examples):
    loaded = data.load(**names(kind), road=road)
    assert loaded.facts.classes == CLASSES and loaded.facts.shape == (SIDE, SIDE, 3)
    assert loaded.facts.dtype == "uint8" and loaded.facts.pixel_range is None
    for split, (images, labels) in examples.items():
        read = loaded.splits[split]
        np.testing.assert_array_equal(np.asarray(read.images), images)
        np.testing.assert_array_equal(np.asarray(read.labels[:]), labels)


@pytest.mark.parametrize("kind", SOURCES)
def test_test_images_that_are_training_images_are_counted(kind, names):
    """Not by their pixels: images of a stream are not decoded for it."""
    source = dict(names(kind), road="streaming")
    usual = data.load(**source)
    assert data.count_shared(usual, usual) == 0
    with pytest.raises(contracts.UserError, match=r"images of .* are its 60 training im"):
        data.load(**source, train_split="train", test_split="train")
    if kind != "folder":  # whose splits are not summed
        both = data.load(**source, train_split="train+test", test_split="test")
        assert data.count_shared(both, both) == data.count_shared(usual, both) == COUNTS["test"]
        assert data.count_shared(both, usual) == 0


@pytest.mark.parametrize("road", ["resident", "streaming"])
@pytest.mark.parametrize("kind", SOURCES)
def test_evaluations_see_centres_of_their_size(kind, road, names, examples):
    block = settings.Data.of(dict(names(kind), road=road, eval_size=6))
    trained = data.load_configured(block)
    assert trained.facts.shape == (SIDE, SIDE, 3)
    judged = data.load_evaluated(trained, block, crop=4)
    assert judged.facts.shape == (4, 4, 3) and judged.facts.uncropped == (6, 6, 3)
    for split, (images, labels) in examples.items():
        seen = judged.splits[split]
        sized = [cv2.resize(image, (6, 6), interpolation=cv2.INTER_AREA) for image in images]
        np.testing.assert_array_equal(np.asarray(seen.images), np.stack(sized)[:, 1:5, 1:5])
        np.testing.assert_array_equal(seen.labels, labels)
        np.testing.assert_array_equal(np.asarray(seen.uncut), images)
        assert data.is_streamed(seen) == (road == "streaming")


@pytest.mark.parametrize("kind", SOURCES)
def test_a_stream_goes_on_in_the_middle_of_an_epoch(kind, names, examples):
    source = data.load(**names(kind), road="streaming").splits["train"].images.source
    images, labels = examples["train"]
    settings = streaming.Settings(source, 3, 8, 20, worker_threads=2)
    stream = streaming.Stream(settings, 0)
    for step in range(10):
        if step == 4:  # 7 steps an epoch
            state = json.loads(json.dumps(stream.state()))
            stream.close()
            stream = streaming.Stream(settings, step, state)
        batch = next(stream)
        np.testing.assert_array_equal(batch["index"], streaming.indices(3, step, len(images), 8))
        np.testing.assert_array_equal(batch["images"], images[batch["index"]])
        np.testing.assert_array_equal(batch["labels"], labels[batch["index"]])
    stream.close()


@pytest.mark.parametrize("kind", SOURCES)
def test_images_of_all_splits_have_their_order_for_embedding(kind, names, examples):
    if kind == "tfds":
        pytest.skip("data.load_all takes the sources of files")
    options = names(kind)
    loaded = data.load_all(options.pop("name"), **options)
    everything = np.concatenate([images for images, _ in examples.values()])
    read = np.asarray(loaded.splits["all"].images)
    assert sorted(map(bytes, read)) == sorted(map(bytes, everything))
    assert loaded.facts.classes == CLASSES


@pytest.mark.slow
def test_losses_are_equal_and_a_stopped_run_continues_to_the_same_bits(names, config, tmp_path):
    run, small = training.Trainer(), config("quickstart")
    small["method"] = small["method"]["method"]
    small["method"]["encoder"] = dict(name="dcgan32", width=4, hidden=16, features=8)
    small["train"] |= dict(batch_size=16, epochs=4.0, steps_per_dispatch=2, save_epochs=0.7)
    reference = None
    for kind in SOURCES:
        options = names(kind)
        for road in ("resident", "streaming"):
            loaded = data.load(**options, road=road, image_size=32)
            folder = tmp_path / kind / f"run-{road}"
            folder.mkdir()
            final, outputs = run(small, loaded, folder)
            rows = training.untimed(outputs)
            if road == "resident" and reference is None:
                reference = final, rows
            if road == "resident":
                training.same(reference[0], final)
                assert rows == reference[1]
            for row, expected in zip(rows, reference[1], strict=True):
                assert row == pytest.approx(expected, rel=1e-5, abs=1e-5)
            if road == "streaming":
                again = _stopped_and_continued(run, small, loaded, tmp_path / kind / "stopped")
                training.same(final, again)


def _stopped_and_continued(run, config, loaded, folder) -> object:
    """The final state of a run that is stopped in its second epoch and continued."""
    outputs = training.Outputs()
    append = outputs.append
    folder.mkdir()

    def stop(row):
        append(row)
        if row["step"] == 6:
            raise KeyboardInterrupt

    outputs.append = stop
    with pytest.raises(KeyboardInterrupt):
        run(config, loaded, folder, outputs)
    assert 0 < checkpoint.Checkpoints(folder).steps()[-1] < 12
    outputs.append = append
    return run(config, loaded, folder, outputs)[0]
