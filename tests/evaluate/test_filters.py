import numpy as np
import pytest

from dim_jax import contracts
from dim_jax.evaluate import reference_representations
from dim_jax.evaluate.figures import filters


def test_kernel_of_the_encoder_and_not_of_a_critic(encoder):
    kernel = filters.first_kernel(encoder.params, channels=1)
    np.testing.assert_array_equal(kernel, encoder.params["encoder"]["net"]["conv0"]["kernel"])


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_enlarges_and_centres_each_filter_at_grey(channels):
    kernel = np.zeros((2, 3, channels, 8), np.float32)
    kernel[0, 0, :, 0] = 2.0
    kernel[1, 2, :, 0] = -1.0
    image = filters.grid(kernel)
    gap, columns = 8, 4
    factor = ((image.shape[1] - gap) // columns - gap) // 3
    assert image.dtype == np.uint8 and image.shape[1] > 1.5 * image.shape[0]
    first = image[gap : gap + 2 * factor, gap : gap + 3 * factor]
    np.testing.assert_array_equal(first[0, 0], 255)
    assert (first[-1, 0] == 128).all()
    values = np.unique(image[..., 0])
    np.testing.assert_array_equal(values, [64, 128, 255])  # -half, zero, and largest or background


def test_colours_are_the_channels():
    kernel = np.zeros((1, 1, 3, 1), np.float32)
    kernel[0, 0] = [[1.0], [0.0], [-1.0]]
    np.testing.assert_array_equal(filters.grid(kernel)[10, 10], [255, 128, 0])


def test_two_channels_are_shown_as_their_mean():
    kernel = np.zeros((1, 2, 2, 1), np.float32)
    kernel[0, :, :, 0] = [[4.0, 0.0], [1.0, -3.0]]  # means 2 and -1
    np.testing.assert_array_equal(filters.as_pixels(kernel)[0, 0], [[255, 255, 255], [64, 64, 64]])


@pytest.mark.parametrize(
    ("count", "columns"), [(64, 16), (96, 16), (192, 24), (8, 4), (7, 4), (1, 1)]
)
def test_last_row_is_whole_where_possible(count, columns):
    assert filters._columns(count) == columns


def test_without_a_convolution(digits, rng):
    with pytest.raises(contracts.UserError, match="no convolution over the 1 image channels"):
        filters.evaluate(reference_representations.pixels(), digits.splits, rng)
