"""Sizes of a network, read from the shapes of its weights."""

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.skeleton import SKELETONS, Skeleton


def skeleton_like(joints: int, channels: int) -> Skeleton:
    """The known skeleton with this number of joints, that with this number of channels if there are several.

    Raises ``CheckpointError`` if there is none.
    """
    alike = [skeleton for skeleton in SKELETONS.values() if skeleton.num_joints == joints]
    if not alike:
        known = sorted({skeleton.num_joints for skeleton in SKELETONS.values()})
        raise CheckpointError(
            f"the weights are for {joints} joints, but the known skeletons have {known}: build the network for your "
            "skeleton and use load_weights"
        )
    fitting = [skeleton for skeleton in alike if channels in (skeleton.channels, len(skeleton.coords))]
    return (fitting or alike)[0]
