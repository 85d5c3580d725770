"""Changes of images on the device, a random one for each image of a batch.

Random ones are (rng, images [n,h,w,c], **options) -> images: one key for the whole batch, one draw
for each image, no shape that depends on a draw. Those of colours are of pixels in [0, 1]. What
they do once drawn, and the colour spaces, are functions of their own.
"""

from dim_jax.augment.blur import gaussian_blur, random_blur
from dim_jax.augment.colour import (
    brightness,
    contrast,
    grey,
    jitter,
    random_grey,
    random_solarise,
    saturation,
    shift_hue,
)
from dim_jax.augment.geometry import (
    crop_boxes,
    random_crop,
    random_flip,
    random_resized_crop,
    random_translation,
    resize_boxes,
)
from dim_jax.augment.occlusion import occlude
from dim_jax.augment.pipeline import Change, pipeline
from dim_jax.augment.policy import randaugment
from dim_jax.augment.spaces import rgb_to_lab, rgb_to_ycbcr

__all__ = [
    "Change",
    "brightness",
    "contrast",
    "crop_boxes",
    "gaussian_blur",
    "grey",
    "jitter",
    "occlude",
    "pipeline",
    "randaugment",
    "random_blur",
    "random_crop",
    "random_flip",
    "random_grey",
    "random_resized_crop",
    "random_solarise",
    "random_translation",
    "resize_boxes",
    "rgb_to_lab",
    "rgb_to_ycbcr",
    "saturation",
    "shift_hue",
]
