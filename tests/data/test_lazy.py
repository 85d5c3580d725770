"""Images that are decoded when indexed behave as the arrays that they stand for."""

import numpy as np
import pytest
from PIL import Image

from dim_jax import contracts, data
from dim_jax.data import lazy, memory
from dim_jax.evaluate import features, reference_representations
from dim_jax.evaluate.probes import labelled


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    for row in range(40):
        path = root / ("a", "b")[row % 2] / f"{row:02}.png"
        path.parent.mkdir(exist_ok=True)
        picture = np.random.RandomState(row).randint(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(picture).save(path)
    return f"folder:{root}"


@pytest.fixture(scope="module")
def roads(folder):
    return tuple(data.load(folder, road=road) for road in ("resident", "streaming"))


def test_they_are_indexed_like_arrays(roads):
    arrays, images = (loaded.splits["train"].images for loaded in roads)
    assert isinstance(images, lazy.Images) and len(images) == len(arrays) == 32
    assert images.shape == arrays.shape and images.dtype == arrays.dtype
    assert images.ndim == arrays.ndim
    backwards, some = np.arange(31, -1, -3), np.arange(32) % 5 == 0
    for key in (0, -1, np.int64(3), slice(4, 9), slice(None, None, 7), backwards, [5, 5, 1], some):
        np.testing.assert_array_equal(images[key], arrays[key])
    cut, wanted = images[:, 1:5, 2:7], arrays[:, 1:5, 2:7]
    assert isinstance(cut, lazy.Images) and cut.shape == wanted.shape
    np.testing.assert_array_equal(cut[3:6], wanted[3:6])
    np.testing.assert_array_equal(images[2:4, 1:5], arrays[2:4, 1:5])
    np.testing.assert_array_equal(cut.select(backwards)[1:3], wanted[backwards][1:3])
    np.testing.assert_array_equal(np.asarray(images), arrays)
    np.testing.assert_array_equal(np.stack(list(images)), arrays)
    with pytest.raises(IndexError):
        images[32]


def test_batches_are_the_images_in_order_and_few_are_decoded_ahead(roads, monkeypatch):
    arrays, images = (loaded.splits["train"].images for loaded in roads)
    cut = images.select(np.arange(31, -1, -1))[:, 1:5, 2:7]
    batches = list(cut.batches(5, ahead=1))
    assert [len(batch) for batch in batches] == [5] * 6 + [2]
    np.testing.assert_array_equal(np.concatenate(batches), arrays[::-1, 1:5, 2:7])
    read, decoded = images.source.read, []
    monkeypatch.setattr(
        type(images.source), "read", lambda _, rows: decoded.extend(rows) or read(rows)
    )
    iterator = images.batches(5, ahead=1)
    next(iterator)
    iterator.close()  # waits for the threads
    assert {*range(5)} <= {*decoded} <= {*range(10)}


def test_labels_are_read_when_they_are_indexed(roads):
    resident, streamed = (loaded.splits["test"].labels for loaded in roads)
    assert len(streamed) == len(resident) and streamed.dtype == resident.dtype
    np.testing.assert_array_equal(streamed[2:5], resident[2:5])


def test_too_many_at_once_are_refused_in_one_sentence(roads, monkeypatch):
    images = roads[1].splits["train"].images
    monkeypatch.setattr(memory, "limit", lambda: 10 * 8 * 8 * 3)
    assert images[:10].shape == (10, 8, 8, 3)
    for whole in (lambda: np.asarray(images), lambda: images[:11]):
        with pytest.raises(
            contracts.UserError, match=r"set data\.eval_train_images, such as 50000"
        ):
            whole()


def test_what_is_evaluated_is_the_same_on_both_roads(roads):
    one, other = (data.evaluated(loaded, crop=6, limit=20) for loaded in roads)
    assert one.facts == other.facts and one.facts.shape == (6, 6, 3)
    assert one.notes == other.notes and "use 20 of the 32 training images" in one.notes[0]
    for name in ("train", "test"):
        a, b = one.splits[name], other.splits[name]
        assert not data.is_streamed(a) and data.is_streamed(b)
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
        assert isinstance(b.labels, np.ndarray) and a.names == b.names
    assert len(one.splits["train"].images) == 20


def test_all_training_images_are_evaluated_where_they_fit(roads, monkeypatch):
    whole = data.evaluated(roads[1])
    assert len(whole.splits["train"].images) == 32 and whole.notes == ()
    monkeypatch.setattr(memory, "fits", lambda needed: False)
    monkeypatch.setattr("dim_jax.data.dataset._EVALUATED", 10)
    assert len(data.evaluated(roads[1]).splits["train"].images) == 10


def test_attributes_are_those_of_the_resident_road(write_tfds):
    import io

    pictures = np.random.RandomState(0).randint(0, 256, (8, 4, 4, 3)).astype(np.uint8)
    examples = []
    for row, picture in enumerate(pictures):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        attributes = {"attributes/Bald": row % 2, "attributes/Young": int(row > 3)}
        examples.append({"image": buffer.getvalue(), **attributes})
    kinds = {"Bald": "bool", "Young": "bool"}
    root = write_tfds("faces", {"train": examples, "test": examples}, (4, 4, 3), attributes=kinds)
    one, other = (
        data.evaluated(data.load("faces", data_dir=str(root), road=road), limit=5)
        for road in ("resident", "streaming")
    )
    for name in ("train", "test"):
        a, b = one.splits[name], other.splits[name]
        np.testing.assert_array_equal(a.attributes, b.attributes)
        np.testing.assert_array_equal(a.images, b.images)


def test_the_road_is_chosen_by_memory(folder, monkeypatch):
    chosen = data.load(folder, road="auto")
    assert chosen.road == "resident: 6.0 KiB fit in memory"
    assert not data.is_streamed(chosen.splits["train"])
    monkeypatch.setattr(memory, "limit", lambda: 1000)
    chosen = data.load(folder, road="auto")
    assert data.is_streamed(chosen.splits["train"])
    assert chosen.road.startswith("streamed from disk: decoded 6.0 KiB, and 1.0 KiB, a quarter")
    with pytest.raises(contracts.UserError, match=r"data\.road is 'steaming'; did you mean"):
        data.load(folder, road="steaming")
    with pytest.raises(contracts.UserError, match=r"set data\.road to auto"):
        data.load("digits", road="streaming")
    assert len(data.load("digits", road="auto").splits["test"].images) == 359


def test_features_and_controls_stream(roads):
    resident, streamed = (data.evaluated(loaded).splits for loaded in roads)
    for frozen in (
        reference_representations.pixels(),
        reference_representations.pca(streamed["train"].images, 5),
    ):
        (tap,) = features.shapes(frozen, streamed["train"])
        one, other = (
            features.extract(frozen, splits["train"], (tap,), batch=12)[tap]
            for splits in (resident, streamed)
        )
        np.testing.assert_allclose(one, other, atol=1e-6)
    with pytest.raises(IndexError):
        streamed["train"].images[np.array([99])]


def test_labelled_images_stay_on_disk(roads):
    splits = dict(data.evaluated(roads[1]).splits)
    splits["train"] = splits["train"]._replace(labels=np.where(np.arange(32) % 4, -1, 1))
    chosen = labelled.labelled(splits)["train"]
    assert data.is_streamed(chosen) and len(chosen.images) == len(chosen.labels) == 8
    np.testing.assert_array_equal(chosen.images, roads[0].splits["train"].images[::4])
