"""Named protocols: all settings of an evaluation that fits something, under a name that lasts.

A protocol never changes once results carry its name; other settings get another name. Nothing in
a protocol was or is chosen on test images: what was tuned was tuned on a held-out part of the
training images or on synthetic data, and what is chosen per representation (the SVM's strength, the
best critic) is chosen on held-out training images too. One exception is published and says so:
"ndm-paper-v1" trains its critic on the test images that it reports.

In the few-label setting the probe sees the labels of some training images only. The statistics
that standardise the features still come from all training images that the probe could have had a
label of.

Each evaluation defines its type of settings and its named instances in its own module.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from dim_jax import contracts

Settings = TypeVar("Settings")


class Protocols(dict[str, Settings]):
    """The protocols of one evaluation, {name: settings}.

    Args:
      title: of the evaluation, for error messages: "unknown MLP protocol 'x'".
    """

    def __init__(self, title: str, settings: Mapping[str, Settings]):
        super().__init__(settings)
        self._title = title

    def find(self, name: Any) -> Settings:
        """The settings of a protocol.

        Raises:
          UserError: no protocol of the evaluation has the name.
        """
        if name not in self:
            raise contracts.unknown(f"{self._title} protocol", name, self)
        return self[name]
