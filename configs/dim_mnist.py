"""Deep InfoMax on MNIST with the 28x28 encoder of the official code.

    python -m dim_jax.main --config configs/dim_mnist.py:local,bound=infonce,budget=cpu

Words: weights, bound, critic and prior of configs/dim_cifar10.py; budget=paper | cpu | smoke. The
paper has no MNIST table; `paper` is the schedule it uses for its smaller data sets.
"""

from configs import common
from configs.common import datasets, infomax

CPU = {  # ours
    **{"train.epochs": 5, "train.steps_per_dispatch": 50, "train.save_epochs": 1},
    **common.faster("encoder", "discriminator"),
}
SMOKE = {
    **datasets.smoke("mnist"),
    **common.faster("encoder", "discriminator"),
}


def get_config(argument: str = ""):
    words = infomax.parse(argument)
    # Official DIM code, configs/convnets.py.
    encoder = common.encoder("dcgan28", width=64, hidden=1024, features=64)
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
        data=common.data("mnist"),
        method=common.monitored(method, classes=10),
        players=dict(encoder=adam, discriminator=adam, probe=common.adam(1e-3)),
        train=common.train(
            batch_size=64,  # official DIM code, README
            epochs=200,  # Hjelm et al. 2019, data sets other than CIFAR (from memory)
            steps_per_dispatch=100,
            save_epochs=10,
        ),
        evals=common.evals(labels_per_class=10) | infomax.fit(words["prior"]),
        published={},
        published_source="",
    )
    return common.budgeted(
        config,
        words["budget"],
        cpu=CPU | common.under("method.method", infomax.cpu(words)),
        smoke=SMOKE | common.under("method.method", infomax.smoke(words, encoder)),
    )
