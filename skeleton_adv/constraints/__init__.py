"""Constraints: limits on bone lengths, joint angles and speeds, and balls around a clip."""

from skeleton_adv.constraints.ball import Ball, Budget, Norm
from skeleton_adv.constraints.base import SLACK, Constraint, Limits, Unit
from skeleton_adv.constraints.body import BoneLength, JointAngle, Speed
from skeleton_adv.constraints.factor import BoneFactor
from skeleton_adv.constraints.rigid import RigidBone
from skeleton_adv.constraints.turns import AngleTurn, BoneDirection, RootPath
from skeleton_adv.constraints.view import View

__all__ = [
    "SLACK",
    "AngleTurn",
    "Ball",
    "BoneDirection",
    "BoneFactor",
    "BoneLength",
    "Budget",
    "Constraint",
    "JointAngle",
    "Limits",
    "Norm",
    "RigidBone",
    "RootPath",
    "Speed",
    "Unit",
    "View",
]
