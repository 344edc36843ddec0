"""A linear victim of real clips, and the rows of attacks on it."""

from typing import Any

import torch
from torch import Tensor, nn

from skeleton_adv.attacks import AttackResult
from skeleton_adv.constraints import BoneLength, Constraint, JointAngle, Speed
from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.data.clips import hashed_order
from skeleton_adv.defenses import none
from skeleton_adv.evaluation.attack import Evaluation
from skeleton_adv.models.victim import Victim

CONSTRAINTS: dict[str, Constraint] = {"bone": BoneLength(), "angle": JointAngle(), "speed": Speed()}
FRAMES, PERSONS = 16, 2  # the second person is absent in every clip: 960 entries that may not move


class Linear(nn.Module):
    """A linear victim of 27 classes with random weights."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(27, 3 * FRAMES * 20 * PERSONS, generator=rng) / 40)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        return x.flatten(1) @ self.weight.T


def evaluation(data: Any, attack: Any, **changes: Any) -> Evaluation:
    victim = Victim(Linear(), none, "cpu")
    settings: dict[str, Any] = {"targeted": False, "target": "random", "seed": 0, "batch_size": 5}
    settings |= {"victim": victim, "attacked": victim, "constraints": CONSTRAINTS, **changes}
    return Evaluation(*data, attack=attack, **settings)


def rows(data: Any, attack: Any, limit: int | None = None, **changes: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    order = hashed_order(data[1].clips, "test")[:limit]
    evaluation(data, attack, **changes).run(order, set(), found.extend, lambda starts, _: starts)
    return found


def key(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "seconds"}


def still(batch: SkeletonBatch, x_adv: Tensor | None = None) -> AttackResult:
    found = torch.zeros(len(batch), dtype=torch.bool)
    return AttackResult(batch.x if x_adv is None else x_adv, found)
