"""Trained encoders for other projects: `load_encoder(run).encode(images) -> {tap: features}`.

    python -m dim_jax.encoder --run runs/dim_cifar10 --folder ~/pictures --out features.npz
    python -m dim_jax.encoder --run runs/dim_cifar10 --export onnx --out encoder.onnx

write the features of a folder of images to a file, and the encoder in a form that needs no dim_jax.
None of them needs the training command, its flags or the devices that it ran on.
"""

from dim_jax.encoder.embedding import embed as embed
from dim_jax.encoder.loading import FORMAT as FORMAT
from dim_jax.encoder.loading import Encoder as Encoder
from dim_jax.encoder.loading import load_encoder as load_encoder
from dim_jax.encoder.network import tap_shapes as tap_shapes
