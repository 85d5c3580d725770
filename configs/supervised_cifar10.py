"""The supervised reference on CIFAR-10: first row of Table 1 (Hjelm et al. 2019), 75.39 %.

    python -m dim_jax.main --config configs/supervised_cifar10.py:budget=cpu

Words: budget=paper | cpu | smoke. The DIM encoder and a classifier with 200 hidden units on its
conv map, trained end to end without augmentation. The published row does not say on which layer
the classifier stands; its number is printed in the conv column.
"""

from configs import common


def get_config(argument: str = ""):
    budget = common.parse(argument, budget=common.BUDGETS)["budget"]
    smoke = budget == "smoke"
    # Classifier: section 4.2 of the paper.
    method = dict(
        name="supervised",
        encoder=common.encoder("dcgan32", smoke=smoke),
        classifier=dict(name="classifier", hidden=200, dropout=0.1, classes=10, norm="batch"),
        tap="conv",
    )
    slices = dict(train_split="train[:512]", test_split="test[:256]") if smoke else {}
    return common.config(
        data=common.data("cifar10", **slices),
        method=method,
        players=dict(encoder=common.adam_of(budget)),
        train=common.train(
            batch_size=64,
            epochs={"paper": 100, "cpu": 6, "smoke": 2}[budget],  # ours: it overfits early
            steps_per_dispatch={"paper": 100, "cpu": 50, "smoke": 4}[budget],
            save_epochs={"paper": 10, "cpu": 1, "smoke": 1}[budget],
        ),
        evals=common.evals(labels_per_class=10),
        published=dict(mlp=dict(conv=75.39)),
        published_source="Hjelm et al. 2019, Table 1",
    )
