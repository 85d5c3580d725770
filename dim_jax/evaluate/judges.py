"""Networks that judge generated images: Inception with given weights, or an exported encoder.

Distances of images are those of a network's features, so every number of them carries its name.
"""

import dataclasses
import functools
import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dim_jax import contracts, encoder
from dim_jax.data import facts, lazy
from dim_jax.evaluate.figures import drawing
from dim_jax.nets import inception
from dim_jax.rundir import paths

INCEPTION = "inception"
TAP = "conv"  # of an encoder, unless another one is chosen and named
_WEIGHTS = "pt_inception-2015-12-05-6726825d.pth"
_WHERE = (
    f"convert {_WEIGHTS}, a release of the GitHub project mseitzer/pytorch-fid, as the page 'Judge "
    "generated images' of the documentation says"
)
_UNUSED = "num_batches_tracked"  # of batch norm in PyTorch
_BATCHES = {INCEPTION: 32}  # of 299x299 pixels, half a GiB of maps
_BATCH = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Judge:
    """A network whose features compare images.

    label: its name in metrics: "inception", or the config of an encoder, such as "supervised".
    features: of images u8[n,h,w,c], f32[n,d], compiled.
    probabilities: of its classes, f32[n,k] of features f32[n,d]; None without a classifier.
    batch: images at a time.
    digest: of the weights, and of all else that features follow from.
    card: of an exported encoder; None of Inception.
    """

    label: str
    features: Callable[[np.ndarray], jax.Array]
    probabilities: Callable[[jax.Array], jax.Array] | None
    batch: int
    digest: str
    card: Mapping[str, Any] | None = None

    def check(self, images: facts.Facts) -> None:
        """Raises UserError for images that it was not made for."""
        if self.card is None:
            if images.shape[2] not in (1, 3):
                raise contracts.UserError(
                    f"the images of {images.name} have {images.shape[2]} channels and Inception "
                    "judges 1 or 3; set evals.fid.encoder to an encoder trained on these images"
                )
            return
        shape = tuple(self.card["image_shape"])
        if shape != tuple(images.shape) or self.card["data"] != images.name:
            kinds = (f"{name} {_size(of)}" for name, of in ((self.card["data"], shape), images[:2]))
            raise contracts.UserError(
                "the encoder of evals.fid.encoder was trained on {}, and this run has {}; train "
                "one on the images of this run, such as with configs/supervised.py".format(*kinds)
            )
        fits = self.card.get("fit"), images.fit
        if None not in fits and fits[0] != fits[1]:  # older cards have none
            raise contracts.UserError(
                f"the encoder of evals.fid.encoder was trained on {images.name} with data.fit "
                f"{fits[0]}, and this run has data.fit {fits[1]}, so that it would judge other "
                f"images; set data.fit to {fits[0]}, or train an encoder with {fits[1]}"
            )

    def encode(self, parts: Iterable[np.ndarray]) -> Iterator[jax.Array]:
        """The features of each part u8[n,h,w,c], whose n is `batch` except of the last one.

        Raises:
          UserError: features that are not finite.
        """
        for images in parts:
            missing = self.batch - len(images)  # filled up, so that one size is compiled
            filled = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
            rows = self.features(filled)[: len(images)]
            if not np.isfinite(np.asarray(rows)).all():
                raise contracts.UserError(
                    f"the network '{self.label}' makes features of images that are not finite; "
                    "its weights are damaged"
                )
            yield rows


def _size(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def load(weights: str | None, encoder: str | None, tap: str) -> Judge:
    """Inception with the weights of a file, or the encoder of a run folder or an export.

    Args:
      tap: of the encoder; a map is averaged over its locations.

    Raises:
      UserError: both or neither; a file or an export that cannot be used.
    """
    if (weights is None) == (encoder is None):
        are = "not set" if encoder is None else "both set"
        raise contracts.UserError(
            f"evals.fid.weights and evals.fid.encoder are {are}; set one of them, the first to a "
            "file of Inception or the second to a run folder of configs/supervised.py"
        )
    if weights is None:
        return _of_encoder(encoder, tap)
    path = paths.expand(weights, "evals.fid.weights")
    try:
        changed = path.stat()
    except OSError as error:
        raise contracts.UserError(
            f"evals.fid.weights is {path}, which cannot be read ({error.strerror}); to get the "
            f"weights of Inception {_WHERE}"
        ) from error
    return _of_inception(path, (changed.st_mtime_ns, changed.st_size))


@functools.lru_cache(maxsize=1)  # 95 MB, that several checks look at
def _of_inception(path: Path, version: tuple[int, int]) -> Judge:
    del version
    arrays = read_inception(path)
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    weights = jax.device_put(arrays)

    @jax.jit
    def features(weights, images):
        coloured = jnp.broadcast_to(images, (*images.shape[:3], 3))
        return inception.features(weights, inception.resize(coloured))

    @jax.jit
    def probabilities(weights, rows):
        return jax.nn.softmax(inception.logits(weights, rows, bias=False))

    return Judge(
        INCEPTION,
        functools.partial(features, weights),
        functools.partial(probabilities, weights),
        _BATCHES[INCEPTION],
        digest.hexdigest(),
    )


def read_inception(path: Path) -> dict[str, np.ndarray]:
    """The weights of Inception in a .safetensors or .npz file, f32, by their names.

    Raises:
      UserError: another file, or arrays that are missing, too many, or of another shape or type.
    """
    arrays = {name: array for name, array in _arrays(path).items() if not name.endswith(_UNUSED)}
    shapes = inception.shapes()
    for name in [*shapes, *arrays]:
        fault = None
        if name not in arrays or name not in shapes:
            fault = f"{'lacks' if name in shapes else 'has'} the array {name}"
        elif arrays[name].shape != shapes[name]:
            fault = f"has {name} {list(arrays[name].shape)} and not {list(shapes[name])}"
        elif arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            fault = f"has {name} with values that are not finite numbers"
        if fault:
            raise contracts.UserError(
                f"{path} holds other weights than those of Inception for FID: it {fault}; {_WHERE}"
            )
    return {name: np.asarray(arrays[name], np.float32) for name in shapes}


def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    kind = path.suffix.lower()
    try:
        if kind == ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        if kind == ".safetensors":
            return _safetensors(path)
    except OSError as error:
        raise contracts.UserError(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise contracts.UserError(f"{path} is damaged or no {kind} file; copy it again") from error
    raise contracts.UserError(
        f"evals.fid.weights is {path}, and weights are read from .safetensors or .npz; {_WHERE}"
    )


def _safetensors(path: Path) -> Mapping[str, np.ndarray]:
    try:
        import safetensors
        from safetensors import numpy
    except ImportError as error:
        raise contracts.UserError(
            f"{path} is read by safetensors, which is not installed: install it with "
            "`python -m pip install 'dim-jax[safetensors]'`, or save the weights as .npz"
        ) from error
    try:
        return numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from error


def _of_encoder(path: str, tap: str) -> Judge:
    loaded = encoder.load_encoder(paths.expand(path, "evals.fid.encoder"))
    if tap not in loaded.card["taps"]:
        raise contracts.unknown("tap of evals.fid.encoder", tap, loaded.card["taps"])
    digest = hashlib.sha256(tap.encode())
    for leaf in jax.tree.leaves((loaded.params, loaded.stats)):
        digest.update(np.ascontiguousarray(leaf).tobytes())

    def features(images: np.ndarray) -> jax.Array:
        rows = loaded.encode(images, (tap,))[tap]
        return rows.reshape(len(rows), -1, rows.shape[-1]).mean(axis=1)

    # The name of the file of its config; a map of another tap is another network.
    label = f"{loaded.card.get('config', 'encoder')}{'' if tap == TAP else f' {tap}'}"
    return Judge(label, features, None, _BATCH, digest.hexdigest(), loaded.card)


def parts(images: np.ndarray | lazy.Images, rows: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    """The images at some positions, u8, some at a time."""
    for start in range(0, len(rows), batch):
        yield np.asarray(images[rows[start : start + batch]])


def generated(frozen: contracts.Frozen, codes: np.ndarray, batch: int) -> Iterator[np.ndarray]:
    """Images that a method's generator makes of codes f[n,d], in parts u8[m,h,w,c]."""
    decode = jax.jit(frozen.method.generative.decode)
    for start in range(0, len(codes), batch):
        # The last part repeats the last code, so that one size is compiled.
        picked = np.minimum(np.arange(start, start + batch), len(codes) - 1)
        decoded = decode(frozen.params, frozen.state, codes[picked])
        yield drawing.as_pixels(frozen.normalise, decoded)[: len(codes) - start]
