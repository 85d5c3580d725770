"""The training steps that `bench_train_step` measures: methods, sizes, and rounds of a budget."""

import dataclasses

import ml_collections

from configs import common
from configs.common import amdim, infomax


@dataclasses.dataclass(frozen=True)
class Case:
    """One step. `method` and `adam` are blocks of a config; two `views` differ by random flips."""

    name: str
    method: dict
    side: int
    batch: int
    steps: int = 10  # of one round, and of one dispatch
    rounds: int = 7
    adam: dict = dataclasses.field(default_factory=lambda: common.adam(1e-4))
    views: int = 1


def local_infomax(name: str, encoder: dict, side: int, critic: int, batch: int, *more) -> Case:
    """DIM(L) with InfoNCE and an encode-and-dot critic of this width; `more`: steps, rounds."""
    method = infomax.dim(encoder=encoder, critic_width=critic, concat_width=16, prior="none")
    return Case(name, _plain(method), side, batch, *more)


def _supervised(name: str, encoder: dict, batch: int, *more) -> Case:
    """A classifier on y, so that every parameter of the encoder has a gradient."""
    head = dict(name="classifier", hidden=200, dropout=0.1, classes=10, norm="batch")
    method = dict(name="supervised", encoder=encoder, classifier=head, tap="y")
    return Case(name, method, 32, batch, *more)


def _variational(name: str, encoder: dict, base: int, batch: int, *more) -> Case:
    """The VAE of the baselines with `base` channels in the first map of its decoder."""
    widths = tuple(base // 2**stage for stage in (1, 2, 3))
    method = dict(
        name="autoencoders",
        encoder=encoder,
        decoder=dict(name="decoder", base=base, widths=widths, shape=(32, 32, 3)),
        **dict(reconstruction=1.0, posterior="gaussian", beta=1.0),
        **dict(gamma=0.0, prior=None, discriminator=None, penalty=0.0),
    )
    return Case(name, method, 32, batch, *more)


def _amdim(name: str, ndf: int, n_rkhs: int, n_depth: int, batch: int, *more) -> Case:
    """AMDIM, multiscale, with its optimizer."""
    method = dict(
        name="amdim",
        encoder=dict(name="amdim32", ndf=ndf, n_rkhs=n_rkhs, n_depth=n_depth, norm="none"),
        embedding=dict(name="embedding", norm="none"),
        terms=amdim.TERMS["multiscale"],
        **dict(penalty=0.05, clip=20.0),
    )
    adam = dict(name="adam_l2", learning_rate=2e-4, b1=0.8, b2=0.999, l2=1e-5)
    schedule = dict(schedule=dict(name="constant"), every=1)
    return Case(name, method, 32, batch, *more, adam=adam | schedule, views=2)


def _plain(block: dict) -> dict:
    """The block without placeholders."""
    return ml_collections.ConfigDict(block).to_dict()


def dcgan(width: int, hidden: int) -> dict:
    """The block of the encoder for 32x32 images."""
    return dict(name="dcgan32", width=width, hidden=hidden, features=64)


def _alexnet(width: int, hidden: int) -> dict:
    return dict(name="alexnet64", width=width, hidden=hidden, features=64)


_SMALL, _LARGE = dcgan(4, 16), dcgan(64, 1024)
BUDGETS = {
    "smoke": (
        local_infomax("dcgan32", _SMALL, 32, 16, 8, 2, 2),
        _supervised("supervised", _SMALL, 8, 2, 2),
        _variational("vae", _SMALL, 16, 8, 2, 2),
        _amdim("amdim", 4, 16, 2, 8, 2, 2),
    ),
    "cpu": (
        local_infomax("dcgan32, critic 2048, batch 64", _LARGE, 32, 2048, 64, 3, 4),
        local_infomax("dcgan32, critic 256, batch 256", _LARGE, 32, 256, 256, 3, 4),
        local_infomax("alexnet64 / 3, critic 256, batch 64", _alexnet(32, 1024), 64, 256, 64, 3, 4),
        _amdim("AMDIM, ndf 32, batch 128", 32, 256, 2, 128, 3, 4),
        _supervised("supervised dcgan32, batch 256", _LARGE, 256, 3, 4),
        _variational("VAE dcgan32, decoder 256, batch 128", _LARGE, 256, 128, 3, 4),
    ),
    "accelerator": (
        local_infomax("dcgan32, critic 2048, batch 64", _LARGE, 32, 2048, 64, 100, 9),
        local_infomax("dcgan32, critic 256, batch 256", _LARGE, 32, 256, 256, 100, 9),
        local_infomax("alexnet64, critic 2048, batch 64", _alexnet(96, 4096), 64, 2048, 64, 50, 9),
        _amdim("AMDIM, ndf 128, batch 128", 128, 1024, 10, 128, 20, 9),
        _supervised("supervised dcgan32, batch 256", _LARGE, 256, 100, 9),
        _variational("VAE dcgan32, decoder 512, batch 128", _LARGE, 512, 128, 100, 9),
    ),
}
