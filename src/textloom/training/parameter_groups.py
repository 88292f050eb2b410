"""Parameter groups: with and without weight decay, hidden matrices and the rest.

Weight decay is a prior on the size of products, so it belongs to matrices. A bias or the gain of a norm has one number
for each unit, and a pull towards zero works against its purpose. An embedding that is not tied gets a gradient
only in the rows of the tokens of a batch, while decay would pull every row at every step: the vectors of rare words
would vanish. A tied embedding is the matrix of the softmax too, whose rows all get a gradient at every step; it decays.
"""

from typing import Any

from torch import nn

from textloom.config import OptimizerConfig
from textloom.models.recurrent import RecurrentLanguageModel

Group = dict[str, Any]


def parameter_groups(config: OptimizerConfig, model: RecurrentLanguageModel) -> list[nn.Parameter] | list[Group]:
    """All trainable parameters of a model, as torch's optimizers take them: a plain list if one group is enough.

    Groups without weight decay have ``weight_decay=0``. If the optimizer separates hidden matrices, every group has a
    flag ``hidden``.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decays_all = config.decayed_weights == "all" or config.weight_decay == 0
    if decays_all and not config.separates_hidden:
        return parameters
    decayed = {id(one) for one in parameters} if decays_all else set(map(id, model.product_matrices()))
    hidden = set(map(id, model.hidden_matrices()))
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for one in parameters:
        groups.setdefault((id(one) in hidden and config.separates_hidden, id(one) in decayed), []).append(one)
    return [_group(config, members, *facts) for facts, members in sorted(groups.items(), reverse=True)]


def _group(config: OptimizerConfig, members: list[nn.Parameter], hidden: bool, decayed: bool) -> Group:
    return {
        "params": members,
        "weight_decay": config.weight_decay if decayed else 0.0,
        **({"hidden": hidden} if config.separates_hidden else {}),
    }
