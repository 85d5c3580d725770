"""The settings of random augmentation, and augmentation in words."""

import dataclasses
import math
from typing import ClassVar

from dim_jax.settings.checks import (
    BOOLEAN,
    RANGE,
    RANGE_OF_SHARES,
    SHARE,
    are_numbers,
    at_least,
    is_integer,
    is_number,
    is_range,
)
from dim_jax.settings.definition import Block, Check, UserError, setting

MAGNITUDES = 30  # the largest magnitude of RandAugment

_SHARED = (  # settings that are shares of the images, or of patches
    ("one_channel", "with one channel"),
    ("grey", "made grey"),
    ("blur", "blurred"),
    ("solarise", "solarised"),
)

_AFFINE = Check(
    lambda v: (
        are_numbers(v, 4) and 0 <= v[0] <= 1 and 0 < v[1] <= v[2] < math.inf and 0 <= v[3] <= 180
    ),
    "set it to the largest shift as a share of the side, 0 to 1, the least and the largest scale, "
    "more than 0, and degrees from 0 to 180, such as (0.2, 0.7, 1.4, 20.0)",
)
_RANDAUGMENT = Check(
    lambda v: (
        are_numbers(v, 2) and float(v[0]).is_integer() and v[0] >= 1 and 0 <= v[1] <= MAGNITUDES
    ),
    f"set it to the number of operations, 1 or more, and their magnitude, 0 to {MAGNITUDES}, such "
    "as (2, 9)",
)
_JITTER = Check(
    lambda v: are_numbers(v, 4) and all(0 <= s < math.inf for s in v) and v[3] <= 0.5,
    "set it to the strengths of brightness, contrast, saturation and hue, none below 0 and that of "
    "the hue at most 0.5 (half a turn)",
)
_HSV = Check(
    lambda v: are_numbers(v, 5) and is_range(v[:2]) and is_range(v[2:4]) and 0 <= v[4] <= 1,
    "set it to the least and the largest power, the least and the largest factor, and the largest "
    "shift, 0 to 1, such as (0.25, 4.0, 0.7, 1.4, 0.1)",
)
_HUE = Check(lambda v: is_number(v) and 0 <= v <= 0.5, "set it to turns, from 0 to 0.5")
_EIGHTHS = Check(lambda v: is_integer(v) and 1 <= v <= 4, "set it to an integer from 1 to 4")
_CROP = Check(lambda v: is_integer(v) and v >= 1, "set it to a positive whole number of pixels")
_SHARES = Check(
    lambda v: all(map(SHARE.holds, v)) if isinstance(v, tuple | list) and v else SHARE.holds(v),
    "set it to the share of the images to change, from 0 to 1, or to one share for each view, such "
    "as (1.0, 0.1)",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augment(Block):
    """Random augmentation of training images, none by default; rates are shares of the images."""

    block: ClassVar[str] = "augment"

    views: int = setting(
        1, at_least(1), "Augmented views of every image. Methods across views need 2."
    )
    patches: int | None = setting(
        None,
        _EIGHTHS,
        "Side of overlapping patches in eighths of the image's side, such as 2: all changes but "
        "the crop are then drawn for each patch by itself, for strided-crop encoders.",
    )
    affine: tuple | None = setting(
        None,
        _AFFINE,
        "Largest shift as a share of the side, smallest and largest scale, degrees of rotation.",
        type="(float, float, float, float)",
    )
    resized_crop: tuple | None = setting(
        None,
        RANGE_OF_SHARES,
        "Smallest and largest area of a random box, as a share of the image; the box is resized to "
        "`crop`, or to the image's size.",
        type="(float, float)",
    )
    aspect: tuple = setting(
        (3 / 4, 4 / 3),  # torchvision, RandomResizedCrop
        RANGE,
        "Smallest and largest width / height of that box.",
        type="(float, float)",
    )
    crop: int | None = setting(
        None,
        _CROP,
        "Side of a random square crop, of the resized box or of the warped image.",
        type="int, pixels",
    )
    flip: bool = setting(False, BOOLEAN, "Flip half of the images left to right.")
    flip_shared: bool = setting(
        True,
        BOOLEAN,
        "Flip all views of an image or none (AMDIM); False flips each view independently (SimCLR).",
    )
    translate: int = setting(
        0, at_least(0), "Largest translation; the border is mirrored.", type="int, pixels"
    )
    translate_rate: float = setting(1.0, SHARE, "Share of the images that are translated.")
    shear: float = setting(
        0.0,
        Check(lambda v: is_number(v) and 0 <= v <= 1, "set it to a factor from 0 to 1"),
        "Largest shear along x and along y.",
    )
    randaugment: tuple | None = setting(
        None,
        _RANDAUGMENT,
        "Number of strong operations and their magnitude, 0 to 30.",
        type="(int, float)",
    )
    pca: tuple | None = setting(
        None,
        RANGE,
        "Smallest and largest factor of each principal component of an image's pixels.",
        type="(float, float)",
    )
    hsv: tuple | None = setting(
        None,
        _HSV,
        "Smallest and largest power, smallest and largest factor, and shift of saturation and "
        "value.",
        type="(float, float, float, float, float)",
    )
    hue: float = setting(0.0, _HUE, "Largest shift of the hue.", type="float, turns")
    jitter: tuple | None = setting(
        None,
        _JITTER,
        "Strength of brightness, contrast, saturation and hue; the hue in turns, at most 0.5.",
        type="(float, float, float, float)",
    )
    jitter_rate: float = setting(1.0, SHARE, "Share of the images that are jittered.")
    one_channel: float = setting(
        0.0, SHARE, "Share of the images that keep one of three channels; the others are mid-grey."
    )
    grey: float = setting(0.0, SHARE, "Share of the images made grey.")
    blur: float | tuple = setting(
        0.0,
        _SHARES,
        "Share of the images blurred by a Gaussian with a standard deviation of 0.1 to 2 pixels, "
        "or one share for each view.",
        type="float, or one for each view",
    )
    solarise: float | tuple = setting(
        0.0,
        _SHARES,
        "Share of the images solarised, or one share for each view.",
        type="float, or one for each view",
    )
    small_crops: int = setting(
        0,
        at_least(0),
        "Small crops of every image beside its views (multi-crop), for methods that use them: "
        "boxes of `small_crop_area` and `aspect`, resized to `small_crop` and changed like views.",
    )
    small_crop: int | None = setting(None, _CROP, "Side of the small crops.", type="int, pixels")
    small_crop_area: tuple = setting(
        (0.05, 0.14),  # Caron et al. 2020 (SwAV), section 4.1
        RANGE_OF_SHARES,
        "Smallest and largest area of the box of a small crop, as a share of the image.",
        type="(float, float)",
    )

    def __post_init__(self):
        super().__post_init__()
        for name in ("blur", "solarise"):
            self._check_shares(name, getattr(self, name))
        if self.small_crops and self.small_crop is None:
            raise UserError(
                f"augment.small_crops is {self.small_crops} and augment.small_crop is None; set it "
                "to their side in pixels, such as 96 beside views of 224"
            )
        if self.patches is not None and self.small_crops:
            raise UserError(
                f"augment.patches is {self.patches} and augment.small_crops is {self.small_crops}; "
                "small crops are not cut into patches: set one of them to 0 or None"
            )
        if self.affine is not None and self.resized_crop is not None:
            raise UserError(
                "augment.affine and augment.resized_crop both cut the images; set one of them to "
                "None"
            )

    def _check_shares(self, name: str, shares: float | tuple) -> None:
        if not isinstance(shares, tuple):
            return
        if self.small_crops:
            raise UserError(
                f"augment.{name} has shares for each view and augment.small_crops is "
                f"{self.small_crops}, for which there is none; set one share"
            )
        if len(shares) != self.views:
            raise UserError(
                f"augment.{name} is {shares!r} and augment.views is {self.views}; set one share, "
                "or one for each view"
            )

    def describe(self, evaluated: str = "centre crops") -> dict[str, str]:
        """The augmentation in words: {phrase: names of the settings that it tells of, by spaces}.

        Args:
          evaluated: the images that evaluations see where crops are trained on.
        """
        phrases = {}
        if self.affine is not None:
            phrases[self._warps(evaluated)] = "affine crop"
        elif self.resized_crop is not None:
            phrases[self._boxes(evaluated)] = "resized_crop aspect crop"
        elif self.crop is not None:
            squares = f"random {self.crop}x{self.crop} crops, {evaluated} in evaluations"
            phrases[squares] = "crop"
        if self.flip:
            by_view = "" if self.flip_shared or self.views == 1 else " of each view"
            phrases[f"random flips{by_view}"] = "flip flip_shared" if by_view else "flip"
        if self.translate:
            share = f"{self.translate_rate:.0%}"
            shift = f"{share} translated by up to {self.translate} pixels"
            phrases[shift] = "translate translate_rate"
        if self.shear:
            phrases[f"sheared by up to {self.shear:g}"] = "shear"
        if self.randaugment is not None:
            count, magnitude = self.randaugment
            phrases[f"RandAugment with {count:g} operations of magnitude {magnitude:g}"] = (
                "randaugment"
            )
        return phrases | self._colours() | self._counts()

    def _colours(self) -> dict[str, str]:
        phrases = {}
        if self.pca is not None:
            phrases[f"principal components of colours times {_span(self.pca)}"] = "pca"
        if self.hsv is not None:
            powers, factors = _span(self.hsv[:2]), _span(self.hsv[2:4])
            change = f"powers {powers}, factors {factors} and shifts {self.hsv[4]:g}"
            phrases[f"saturation and value changed by {change}"] = "hsv"
        if self.hue:
            phrases[f"hue shifted by up to {self.hue:g} of a turn"] = "hue"
        if self.jitter is not None:
            strengths = "/".join(f"{strength:g}" for strength in self.jitter)
            phrases[f"{self.jitter_rate:.0%} with colours jittered by {strengths}"] = (
                "jitter jitter_rate"
            )
        for name, change in _SHARED:
            rate = getattr(self, name)
            if isinstance(rate, tuple):
                each = [f"{share:.0%} of view {view}" for view, share in enumerate(rate, start=1)]
                phrases[f"{' and '.join(each)} {change}"] = name
            elif rate:
                phrases[f"{rate:.0%} {change}"] = name
        return phrases

    def _counts(self) -> dict[str, str]:
        phrases = {}
        if self.patches is not None:
            count = 9 - self.patches
            phrases[
                f"changed separately in each of {count}x{count} patches of {self.patches}/8 of the "
                "side"
            ] = "patches"
        if self.views > 1:
            phrases[f"{self.views} views of each image"] = "views"
        if self.small_crops:
            area = f"{_span(self.small_crop_area)} of the area{self._aspect()}"
            phrases[
                f"{self.small_crops} small crops of each image, {area}, resized to "
                f"{self.small_crop}x{self.small_crop}"
            ] = "small_crops small_crop small_crop_area aspect"
        return phrases

    def _warps(self, evaluated: str) -> str:
        shift, smallest, largest, degrees = self.affine
        size = f" {self.crop}x{self.crop}" if self.crop else ""
        if (shift, smallest, largest, degrees) == (0, 1, 1, 0):
            phrase = f"the centre{size or ' of the image'}, not warped"
        else:
            phrase = (
                f"random{size} warps: shifted by up to {shift:.0%} of the side, scaled by "
                f"{smallest:g} to {largest:g}, rotated by up to {degrees:g} degrees"
            )
        return phrase + (f", {evaluated} in evaluations" if self.crop else "")

    def _boxes(self, evaluated: str) -> str:
        size = f" to {self.crop}x{self.crop}" if self.crop else ""
        area = f"{_span(self.resized_crop)} of the area{self._aspect()}"
        phrase = f"random crops of {area}, resized{size}"
        return phrase + (f", {evaluated} in evaluations" if self.crop else "")

    def _aspect(self) -> str:
        return "" if self.aspect == type(self).aspect else f" of aspect {_span(self.aspect)}"


def _span(pair: tuple[float, float]) -> str:
    return f"{pair[0]:g} to {pair[1]:g}"
