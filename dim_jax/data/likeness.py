"""The images of one data set in the form of another's, for an encoder that was trained on that."""

from dim_jax import contracts
from dim_jax.data import colours, dataset


def give(data: dataset.Dataset, like: dataset.Dataset) -> dataset.Dataset:
    """The data set with the channels and the range of pixels of another one.

    Raises:
      UserError: pixels of another type, or channels that are not converted.
    """
    wanted, name = like.facts, data.facts.name
    if data.facts.dtype != wanted.dtype:
        raise contracts.UserError(
            f"the pixels of {name} are {data.facts.dtype} and those that the encoder takes are "
            f"{wanted.dtype}; give images with the unit of those of {wanted.name}, as "
            f"{wanted.dtype}"
        )
    data = colours.with_channels(data, wanted.shape[2])
    if data.facts.shape[2] != wanted.shape[2]:
        raise contracts.UserError(
            f"the images of {name} have {data.facts.shape[2]} channels and the encoder takes "
            f"{wanted.shape[2]}, which are only made of 1 or 3 channels of uint8; give images with "
            f"{wanted.shape[2]}"
        )
    ranges = dict(pixel_range=wanted.pixel_range, display=next(iter(like.splits.values())).display)
    return data._replace(
        facts=data.facts._replace(pixel_range=wanted.pixel_range),
        splits={role: split._replace(**ranges) for role, split in data.splits.items()},
    )
