"""Names of the layers in other implementations of these networks."""

import re
from collections.abc import Mapping

from torch import Tensor

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.skeleton import SKELETONS, Skeleton

# The HCN authors' later code (skelact) has other names for the same layers.
_SKELACT = {"cls_head.fc": "fc8"} | {
    f"backbone.net_{branch}.{place}": f"conv{number}{suffix}"
    for branch, suffix in (("l", ""), ("m", "m"))
    for place, number in ((0, "1"), (2, "2"), (4, "3"), (6, "4"))
}
_BARE = ("conv2", "conv2m", "fc8")  # layers that are not part of a sequence in HCN-pytorch


def is_skelact(weights: Mapping[str, Tensor]) -> bool:
    """Whether these weights are from the HCN authors' later code, which has another motion and preprocessing."""
    return any(key.rpartition("module.")[2].startswith("backbone.net_") for key in weights)


def canonical(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names of this package's modules."""
    return {_canonical(key): value for key, value in weights.items()}


def _canonical(key: str) -> str:
    layer, _, last = key.rpartition("module.")[2].rpartition(".")
    if layer in _SKELACT or layer.startswith("backbone.net_"):
        layer = _SKELACT.get(layer, layer.removeprefix("backbone."))
        return f"{layer}.{last}" if layer in _BARE or layer.endswith(".0") else f"{layer}.0.{last}"
    layer = re.sub(r"^l(\d+)a\b", r"l\1", layer)  # released 2s-AGCN weights, issues 32 and 67 of its repository
    return f"{layer.replace('.conv_res.', '.down.')}.{last}"


def skeleton_with(joints: int, channels: int) -> Skeleton:
    """The known skeleton with this number of joints; of several, the first with this number of channels.

    Raises ``CheckpointError`` if there is none.
    """
    alike = [skeleton for skeleton in SKELETONS.values() if skeleton.num_joints == joints]
    if not alike:
        known = sorted({skeleton.num_joints for skeleton in SKELETONS.values()})
        raise CheckpointError(f"the weights are those of {joints} joints: known graphs have {known}")
    fitting = [skeleton for skeleton in alike if channels in (skeleton.channels, len(skeleton.coords))]
    return (fitting or alike)[0]
