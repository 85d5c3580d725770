"""Networks: encoders, critics, heads, contexts and their layers; Flax Linen stays inside.

`pure` turns modules into functions of parameters; the rest of the package sees those. Each public
function of a module that `build.ROLES` names is a name in configs. May import `augment`; no bounds,
no methods, no data.
"""
