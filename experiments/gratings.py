"""Generated images of five channels: gratings whose orientation is the class.

Phase, wavelength and contrast of every channel are random, so that no pixel tells the orientation,
but every neighbourhood does. Channels have levels and spreads of their own, and heavy tails.
"""

import numpy as np

CLASSES = tuple(f"{30 * number} degrees" for number in range(6))
_LEVELS = np.array([300.0, 900.0, 2000.0, 6000.0, 150.0])
_SPREADS = np.array([60.0, 200.0, 500.0, 900.0, 20.0])
_WAVELENGTHS = 5.0, 11.0  # pixels
_NOISE = 0.6
_TAIL = 0.4  # of the log-normal distribution of values


def make(count: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images u16[count,side,side,5] and their classes i64[count], positions in `CLASSES`."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(CLASSES), count)
    angles = np.pi * labels[:, None, None] / len(CLASSES)
    down, right = np.indices((side, side))
    along = np.cos(angles) * right + np.sin(angles) * down
    images = np.empty((count, side, side, len(_LEVELS)))
    for channel in range(len(_LEVELS)):
        waves, phases = random.uniform(*_WAVELENGTHS, count), random.uniform(0, 1, count)
        contrasts = np.exp(random.normal(0, 0.5, count))
        columns = (each[:, None, None] for each in (waves, phases, contrasts))
        wave, phase, contrast = columns
        images[..., channel] = contrast * np.cos(2 * np.pi * (along / wave + phase))
    images += _NOISE * random.standard_normal(images.shape)
    values = _LEVELS + _SPREADS * np.exp(_TAIL * images)
    return np.clip(values, 0, 2**16 - 1).astype(np.uint16), labels
