"""A classifier of affine features, of digits or of a folder of images: little to compile."""

from configs import common


def get_config():
    return common.config(
        data=common.data("digits"),
        method=dict(
            name="supervised",
            encoder=dict(name="linear", features=4),
            classifier=dict(name="classifier", hidden=4, classes=10, dropout=0.1),
            tap="y",
        ),
        players=dict(encoder=common.adam(1e-3, decay=True)),
        train=common.train(batch_size=2, epochs=0.01, steps_per_dispatch=2, save_epochs=0.005),
        evals=dict(knn=dict(name="knn", taps=("y",))),
        published={},
        published_source="",
    )
