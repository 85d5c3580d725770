"""Images: embedded digits, TensorFlow Datasets on disk, and a user's own folders.

`dataset` is what all of them become; `resident` and `streaming` turn it into batches. May import
`contracts` and `settings`; no networks, methods or training.
"""

from dim_jax import contracts
from dim_jax.data.dataset import Dataset, Split, centre, evaluated, is_streamed, select
from dim_jax.data.facts import Facts, normalise, scaling
from dim_jax.data.seeds import seeded

__all__ = [
    "Dataset",
    "Facts",
    "Split",
    "centre",
    "evaluated",
    "is_streamed",
    "load",
    "normalise",
    "scaling",
    "seeded",
    "select",
]


def load(
    name: str,
    *,
    data_dir: str | None = None,
    image_size: int | None = None,
    train_split: str | None = None,
    test_split: str | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    road: str = "resident",
    worker_threads: int | None = None,
    shortcut: str | None = None,
) -> Dataset:
    """A data set: facts, and the splits "train" and "test" of uint8 images.

    Args:
      name: "digits" (embedded, 8x8 grey); a TFDS image set, such as "cifar10", "stl10:1.0.0" or
        "imagenette/160px-v2", with its binary attributes where it has some ("celeb_a"); or
        "folder:PATH", whose images (always read as red, green, blue) lie directly in PATH (no
        labels), in PATH/CLASS, or in either way below PATH/train and PATH/test (or validation, or
        val).
      data_dir: the TFDS folder; None = the environment variable TFDS_DATA_DIR, or else
        ~/tensorflow_datasets.
      image_size: images become image_size x image_size: the shorter side resized, by area
        averages downwards and bilinearly upwards, then the centre cut out. None keeps the size,
        and all images must share one.
      train_split: a TFDS split expression ("train+unlabelled", "train[:80%]") or a sub-folder
        of PATH; None = train.
      test_split: the same for testing; None = test, or else validation.
      test_fraction: the part of `digits`, or of a folder without test images, that is held out:
        stratified by class, the same in every run.
      seed: chooses which images of a folder are held out; `digits` has one fixed split.
      road: "resident", all images decoded into memory; "streaming", read from disk whenever they
        are needed; "auto", resident while the decoded training images take at most a quarter of
        the memory (of the device where it tells its own, and of the host).
      worker_threads: that decode images; None = one for each core.
      shortcut: "location" or "value": a pixel of every image tells its class, and the split
        "clean" has the test images without it (`shortcut.add`); None changes nothing.

    Raises:
      UserError: an unknown name, a set that is not on disk, images that cannot be used; each
        message says what to change.
    """
    from dim_jax.data import pixels, roads
    from dim_jax.data import shortcut as shortcuts

    pixels.check_size(image_size)
    roads.check(road)
    loaded = _loaded(
        name,
        data_dir,
        image_size,
        train_split,
        test_split,
        test_fraction,
        seed,
        road,
        worker_threads,
    )
    return shortcuts.add(loaded, shortcut)


def _loaded(
    name, data_dir, image_size, train_split, test_split, test_fraction, seed, road, worker_threads
) -> Dataset:
    from dim_jax.data import roads

    if name == "digits":
        from dim_jax.data import digits

        if road == "streaming":
            raise contracts.UserError(
                "data.road is streaming and the digits are part of the package, in memory as they "
                "are: set data.road to auto"
            )
        return digits.load(image_size, test_fraction)
    if name.startswith("folder:"):
        from dim_jax.data import folder

        path = name.removeprefix("folder:")
        opened = folder.open_(path, image_size, train_split, test_split, test_fraction, seed)
    else:
        from dim_jax.data import tfds_arrays

        opened = tfds_arrays.open_(name, data_dir, image_size, train_split, test_split)
    return roads.take(opened, road, worker_threads)
