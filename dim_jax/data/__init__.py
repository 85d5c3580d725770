"""Images: embedded digits, TensorFlow Datasets on disk, and folders of images.

All become a `dataset.Dataset`; `resident` and `streaming` turn it into batches. May import
`contracts` and `settings`; no networks, methods or training.
"""

from dim_jax import contracts, settings
from dim_jax.data.dataset import Dataset, Split, centre, evaluated, is_streamed, select
from dim_jax.data.facts import Facts, describe_classes, normalise, scaling
from dim_jax.data.fingerprint import difference
from dim_jax.data.image_checks import add_notes
from dim_jax.data.seeds import seeded

__all__ = [
    "Dataset",
    "Facts",
    "Split",
    "add_notes",
    "centre",
    "describe_classes",
    "difference",
    "evaluated",
    "is_streamed",
    "load",
    "load_all",
    "load_configured",
    "normalise",
    "scaling",
    "seeded",
    "select",
]


def load(name: str, *, seed: int = 0, road: str = "resident", **options) -> Dataset:
    """A data set: facts, and the splits "train" and "test" of uint8 images.

    Args:
      name: "digits" (embedded, 8x8 grey); a TFDS image set, such as "cifar10", "stl10:1.0.0" or
        "imagenette/160px-v2", with its binary attributes where it has some ("celeb_a"); or
        "folder:PATH", whose images (always read as red, green, blue) lie directly in PATH (no
        labels), in PATH/CLASS, or in either way below PATH/train and PATH/test (or other usual
        names, see `folder_layout`).
      seed: chooses which images of a folder are held out; `digits` has one fixed split.
      road, options: other settings of a config's block `data`, such as `image_size=64`
        (`settings.Data`).

    Raises:
      UserError: an unknown name or setting, a set that is not on disk, images that cannot be used;
        each message gives the remedy.
    """
    return load_configured(settings.Data.of(dict(options, name=name, road=road)), seed)


def load_all(folder: str, **options) -> Dataset:
    """All images of a folder, read when indexed, as the one split "all" in the order of names.

    Args:
      options: settings of a config's block `data`.

    Raises:
      UserError: as `load`.
    """
    from dim_jax.data import folder as folders

    return folders.open_all(settings.Data.of(dict(options, name=f"folder:{folder}")))


def load_configured(block: settings.Data, seed: int = 0) -> Dataset:
    """`load` for the block `data` of a config; `seed` as there."""
    from dim_jax.data import shortcut

    return shortcut.add(_load(block, seed), block.shortcut)


def _load(block: settings.Data, seed: int) -> Dataset:
    from dim_jax.data import roads

    if block.name == "digits":
        from dim_jax.data import digits

        if block.road == "streaming":
            raise contracts.UserError(
                "data.road is streaming and the digits are part of the package, in memory as they "
                "are: set data.road to auto"
            )
        return digits.load(block.image_size, block.test_fraction)
    if block.name.startswith("folder:"):
        from dim_jax.data import folder

        opened = folder.open_(block, seed)
    else:
        from dim_jax.data import tfds_arrays

        opened = tfds_arrays.open_(block)
    return roads.take(opened, block.road, block.worker_threads)
