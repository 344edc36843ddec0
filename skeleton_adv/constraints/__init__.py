"""What a body can do: limits on bone lengths, joint angles and speeds."""

from skeleton_adv.constraints.base import SLACK, Constraint, Limits
from skeleton_adv.constraints.body import BoneLength, JointAngle, Speed

__all__ = ["SLACK", "BoneLength", "Constraint", "JointAngle", "Limits", "Speed"]
