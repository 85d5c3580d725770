"""Deep InfoMax on MNIST with the 28x28 encoder of the official code.

    python -m dim_jax.main --config configs/dim_mnist.py:local,bound=infonce,budget=cpu

Words: local | global | mixed, bound=infonce | jsd | dv, budget=paper | cpu | smoke. The paper has
no MNIST table; `paper` is the schedule it uses for its smaller data sets.
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
        encoder=common.encoder("dcgan28", smoke=smoke),
        weights=words["weights"],
        bound=words["bound"],
        critic_width=infomax.CRITIC_WIDTHS[budget],
        concat_width=32 if smoke else 512,
    )
    adam = common.adam_of(budget)
    slices = dict(train_split="train[:512]", test_split="test[:256]") if smoke else {}
    return common.config(
        data=common.data("mnist", **slices),
        method=common.monitored(method, classes=10),
        players=dict(encoder=adam, discriminator=adam, probe=common.adam(1e-3)),
        train=common.train(
            batch_size=64,  # official DIM code, README
            # 200: Hjelm et al. 2019, data sets other than CIFAR (from memory).
            epochs={"paper": 200, "cpu": 5, "smoke": 2}[budget],
            steps_per_dispatch={"paper": 100, "cpu": 50, "smoke": 4}[budget],
            save_epochs={"paper": 10, "cpu": 1, "smoke": 1}[budget],
        ),
        evals=common.evals(labels_per_class=10),
        published={},
        published_source="",
    )
