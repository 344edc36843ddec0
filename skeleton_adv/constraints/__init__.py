"""Constraints: limits on bone lengths, joint angles and speeds, and balls around a clip."""

from skeleton_adv.constraints.ball import Ball, Budget, Norm
from skeleton_adv.constraints.base import SLACK, Constraint, Limits, Unit
from skeleton_adv.constraints.body import BoneLength, JointAngle, Speed
from skeleton_adv.constraints.factor import BoneFactor

__all__ = [
    "SLACK",
    "Ball",
    "BoneFactor",
    "BoneLength",
    "Budget",
    "Constraint",
    "JointAngle",
    "Limits",
    "Norm",
    "Speed",
    "Unit",
]
