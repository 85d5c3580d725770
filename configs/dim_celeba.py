"""Deep InfoMax on CelebA's faces at 64x64, evaluated by its 40 binary attributes.

    python -m dim_jax.main --config configs/dim_celeba.py:local,bound=infonce,budget=cpu

Words: weights, bound, critic and prior of configs/dim_cifar10.py; encoder=alexnet | dcgan
(AlexNet-like, as published for all data sets but CIFAR; or the encoder of 32-pixel images with a
block more, which is ours); budget=paper | cpu | smoke. Other weights: --config.method.alpha=0.5,
and beta and gamma alike. The data are TFDS celeb_a, which is not downloaded without TensorFlow (the
extra `prepare`).

Metric: test accuracy of a linear classifier per attribute on the frozen conv, fc and y, mean over
attributes, beside always saying the commoner value; MS-SSIM of reconstructions and NDM at y.
Published: no table. Figs. 10 and 11 of Hjelm et al. 2019 vary alpha, beta and gamma on CIFAR-10
and CelebA: on CelebA, whose attributes are fine, alpha matters more. Their grid and numbers are
not printed, nor is how attributes were measured. Measured: nothing yet, the data were not at hand.
"""

from configs import common
from configs.common import datasets, infomax

ENCODERS = {
    # Official DIM code, configs/convnets.py, alex64x64.
    "alexnet": common.encoder("alexnet64", width=96, hidden=4096, features=64),
    "dcgan": common.encoder("dcgan64", width=64, hidden=1024, features=64),
}
NARROW = dict(width=32, hidden=1024)  # the AlexNet-like one in `cpu`: ours
CPU = {  # ours, of 162,770 training and 19,962 test images
    **{"data.train_split": "train[:40000]", "data.test_split": "test[:10000]"},
    **{"train.epochs": 4, "train.steps_per_dispatch": 25, "train.save_epochs": 1},
    **common.faster("encoder", "discriminator"),
}
SMOKE = {
    **datasets.smoke("celeb_a"),
    **common.faster("encoder", "discriminator"),
}


def get_config(argument: str = ""):
    words = infomax.parse(argument, encoder=tuple(ENCODERS))
    encoder = ENCODERS[words["encoder"]]
    method = infomax.dim(
        encoder=encoder,
        weights=words["weights"],  # alpha, beta, gamma: infomax.WEIGHTS
        bound=words["bound"],
        critic=words["critic"],
        critic_width=2048,  # dot products: Tables 8-9
        concat_width=512,  # Tables 6-7
        prior=words["prior"],
    )
    adam = common.adam(1e-4, b1=0.5, b2=0.999)  # official DIM code, README and optimizer.py
    config = common.config(
        **datasets.images("celeb_a"),
        method=method,
        players=dict(encoder=adam, discriminator=adam),
        train=common.train(
            batch_size=64,  # official DIM code, README
            epochs=200,  # Hjelm et al. 2019, data sets other than CIFAR (from memory)
            steps_per_dispatch=100,
            save_epochs=5,
        ),
        evals=dict(
            attributes=dict(name="attributes", protocol="attributes-v1"),
            msssim=dict(name="msssim", protocol="msssim-v1"),
            ndm=dict(name="ndm", protocol="ndm-paper-v1"),
            uniformity=dict(name="prior_fit"),
            neighbours=dict(name="neighbours"),
            filters=dict(name="filters"),
        )
        | infomax.fit(words["prior"]),
        published={},
        published_source="",
    )
    narrow = {**encoder, **NARROW} if words["encoder"] == "alexnet" else None
    fewer = {} if narrow is None else {"method.sampled_locations": 56}  # of 225
    return common.budgeted(
        config,
        words["budget"],
        cpu=CPU | fewer | common.under("method", infomax.cpu(words, narrow)),
        smoke=SMOKE | common.under("method", infomax.smoke(words, encoder)),
    )
