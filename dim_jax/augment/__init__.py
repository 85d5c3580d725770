"""Data augmentation on the device, random for each image of a batch, and colour spaces.

Random functions are (rng, images [n,h,w,c], **options) -> images: one key per batch, one draw per
image, and no shape that depends on a draw. Colour augmentations need pixels in [0, 1]. The
deterministic transformations and the colour spaces are separate functions. May import `contracts`
and `settings`.
"""

from dim_jax.augment.blur import gaussian_blur, random_blur
from dim_jax.augment.colour import (
    brightness,
    contrast,
    grey,
    jitter,
    random_channel,
    random_grey,
    random_solarise,
    saturation,
    shift_hue,
)
from dim_jax.augment.composition import Change, is_random, pipeline, small_crops
from dim_jax.augment.contrasts import (
    hsv_power,
    pca_contrast,
    random_hsv_power,
    random_hue,
    random_pca_contrast,
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
from dim_jax.augment.policy import randaugment
from dim_jax.augment.spaces import rgb_to_lab, rgb_to_ycbcr
from dim_jax.augment.warps import affine, random_affine, random_shear, warp

__all__ = [
    "Change",
    "affine",
    "brightness",
    "contrast",
    "crop_boxes",
    "gaussian_blur",
    "grey",
    "hsv_power",
    "is_random",
    "jitter",
    "occlude",
    "pca_contrast",
    "pipeline",
    "randaugment",
    "random_affine",
    "random_blur",
    "random_channel",
    "random_crop",
    "random_flip",
    "random_grey",
    "random_hsv_power",
    "random_hue",
    "random_pca_contrast",
    "random_resized_crop",
    "random_shear",
    "random_solarise",
    "random_translation",
    "resize_boxes",
    "rgb_to_lab",
    "rgb_to_ycbcr",
    "saturation",
    "shift_hue",
    "small_crops",
    "warp",
]
