"""Small TFDS sets made for the tests of `dim_jax.data`."""

import json

import pytest

_MODULE = "tensorflow_datasets.core.features"


@pytest.fixture
def write_tfds(tmp_path):
    """Writes a small prepared TFDS image set, as array_record, and returns the data folder."""

    def write(
        name, splits, shape, classes=None, version="1.0.0", image_key="image", attributes=None
    ):
        folder = tmp_path / "tfds" / name / version
        folder.mkdir(parents=True)
        base = name.split("/")[0]
        lengths = []
        for split, examples in splits.items():
            _write_records(folder / f"{base}-{split}.array_record-00000-of-00001", examples)
            lengths.append(
                {
                    "name": split,
                    "shardLengths": [str(len(examples))],
                    "numBytes": "1",
                    "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                }
            )
        info = {"name": base, "version": version, "fileFormat": "array_record", "splits": lengths}
        if "/" in name:
            info["configName"] = name.split("/")[1]
        (folder / "dataset_info.json").write_text(json.dumps(info))
        features = _features(shape, classes, image_key, attributes)
        (folder / "features.json").write_text(json.dumps(features))
        if classes:
            (folder / "label.labels.txt").write_text("\n".join(classes) + "\n")
        return tmp_path / "tfds"

    return write


def _features(shape, classes, image_key, attributes):
    """attributes: {name: "bool", another type, or a number of classes}."""
    sides = [str(-1 if side is None else side) for side in shape]
    inner = {
        image_key: {
            "pythonClassName": f"{_MODULE}.image_feature.Image",
            "image": {"dtype": "uint8", "shape": {"dimensions": sides}},
        }
    }
    if classes:
        inner["label"] = _class_label(len(classes))
    if attributes:
        inner["attributes"] = _dict(
            {
                name: _class_label(kind) if isinstance(kind, int) else _scalar(kind)
                for name, kind in attributes.items()
            }
        )
    return _dict(inner)


def _class_label(count):
    return {
        "pythonClassName": f"{_MODULE}.class_label_feature.ClassLabel",
        "classLabel": {"numClasses": str(count)},
    }


def _scalar(dtype):
    return {
        "pythonClassName": f"{_MODULE}.scalar.Scalar",
        "tensor": {"shape": {}, "dtype": dtype, "encoding": "none"},
    }


def _dict(inner):
    return {
        "pythonClassName": f"{_MODULE}.features_dict.FeaturesDict",
        "featuresDict": {"features": inner},
    }


def _write_records(path, examples):
    """Examples are {"image": encoded bytes, "label": int or absent, "attributes/...": int}."""
    from array_record.python import array_record_module
    from tensorflow_datasets.proto import tf_example_pb2

    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    for values in examples:
        example = tf_example_pb2.Example()
        for key, value in values.items():
            feature = example.features.feature[key]
            if isinstance(value, bytes):
                feature.bytes_list.value.append(value)
            else:
                feature.int64_list.value.append(value)
        writer.write(example.SerializeToString())
    writer.close()
