"""Deep InfoMax on CelebA's faces at 64x64, judged by its 40 binary attributes.

    python -m dim_jax.main --config configs/dim_celeba.py:local,bound=infonce,budget=cpu

Words: local | global | mixed; bound=infonce | jsd | dv | gan | nwj | rkl | h2 | chi2;
budget=paper | cpu | smoke. Other weights: --config.method.alpha=0.5, and beta and gamma alike. The
data are TFDS celeb_a, which is not downloaded without TensorFlow (the extra `prepare`).

Metric: test accuracy of a linear classifier per attribute on the frozen conv, fc and y, mean over
attributes, beside always saying the commoner value; MS-SSIM of reconstructions and NDM at y.
Published: no table. Figs. 10 and 11 of Hjelm et al. 2019 vary alpha, beta and gamma on CIFAR-10
and CelebA: on CelebA, whose attributes are fine, alpha matters more. Their grid and numbers are
not printed, nor is how attributes were judged. Measured: nothing yet, the data were not at hand.
"""

from configs import common
from configs.common import infomax


def get_config(argument: str = ""):
    words = common.parse(
        argument,
        weights=("local", "global", "mixed"),
        bound=tuple(infomax.BOUNDS),
        budget=common.BUDGETS,
    )
    budget = words["budget"]
    smoke = budget == "smoke"
    method = infomax.dim(
        encoder=common.encoder("dcgan64", smoke=smoke),
        weights=words["weights"],
        bound=words["bound"],
        critic_width=infomax.CRITIC_WIDTHS[budget],
        concat_width=32 if smoke else 512,
    )
    adam = common.adam_of(budget)
    slices = {  # ours, of 162,770 training and 19,962 test images
        "paper": {},
        "cpu": dict(train_split="train[:40000]", test_split="test[:10000]"),
        "smoke": dict(train_split="train[:512]", test_split="test[:256]"),
    }[budget]
    return common.config(
        # 64: official DIM code, torchvision_datasets.py. What is cut from the 218x178 images is
        # not known; here the shorter side becomes 64 and the centre is kept.
        data=common.data("celeb_a", image_size=64, **slices),
        method=method,
        players=dict(encoder=adam, discriminator=adam),
        train=common.train(
            batch_size=64,  # official DIM code, README
            # 200: Hjelm et al. 2019, data sets other than CIFAR (from memory).
            epochs={"paper": 200, "cpu": 4, "smoke": 2}[budget],
            steps_per_dispatch={"paper": 100, "cpu": 25, "smoke": 4}[budget],
            save_epochs={"paper": 5, "cpu": 1, "smoke": 1}[budget],
        ),
        evals=dict(
            attributes=dict(name="attributes", protocol="attributes-v1"),
            msssim=dict(name="msssim", protocol="msssim-v1"),
            ndm=dict(name="ndm", protocol="ndm-v1"),
            uniformity=dict(name="uniformity"),
            neighbours=dict(name="neighbours"),
            filters=dict(name="filters"),
        ),
        published={},
        published_source="",
    )
