"""Networks: encoders, critics, heads, context networks and their layers, in Flax Linen.

`pure` turns modules into functions of parameters; the rest of the package uses only those. Each
public function of a module that `build.ROLES` names is a name in configs. May import `augment`, but
no bounds, methods or data.
"""
