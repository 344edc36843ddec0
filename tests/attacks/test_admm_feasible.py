"""ADMM inside the limits of the body: every clip is feasible, and more starts never lose a success."""

from typing import Any

import pytest
import torch
from conftest import linear_case

from skeleton_adv.attacks.admm_feasible import admm_feasible
from skeleton_adv.attacks.losses import fooled
from skeleton_adv.constraints import BoneLength, JointAngle, RigidBone, Speed

PAPER = {"bone": BoneLength(), "angle": JointAngle(), "speed": Speed()}
RIGID = {"rigid": RigidBone(), "angle": JointAngle(), "speed": Speed()}
SHORT: dict[str, Any] = {"steps": 6, "polish_every": 3, "step": 0.05}


def test_every_clip_is_feasible_from_every_start() -> None:
    model, batch = linear_case(n=4, t=5, dtype=torch.float32)
    for constraints, start in ((PAPER, "clean"), (RIGID, "ddn")):
        result = admm_feasible(
            model, batch, constraints=constraints, start=start, start_steps=5, falling=True, restarts=2, **SHORT
        )
        assert all(limit.satisfied(result.x_adv, batch).all() for limit in constraints.values())
        assert torch.equal(result.found, fooled(model(result.x_adv), batch.y, False))
        assert torch.equal(result.columns["found_after"] >= 0, result.found)


@pytest.mark.parametrize(("scale", "step", "more"), [(4, 0.15, False), (10, 0.05, True)])
def test_restarts_lose_no_success_and_may_add_one(scale: float, step: float, more: bool) -> None:
    model, batch = linear_case(n=6, t=5, dtype=torch.float32)
    limits = {"bone": BoneLength(0.01 * scale), "angle": JointAngle(0.1 * scale), "speed": Speed(0.1 * scale)}
    settings: dict[str, Any] = {"constraints": limits, **SHORT, "step": step}
    once, often = (admm_feasible(model, batch, restarts=n, **settings) for n in (1, 3))
    added = often.found & ~once.found
    assert (often.found >= once.found).all() and often.found.any() and added.any().item() is more
    first, after = (result.columns["found_after"] for result in (once, often))
    assert torch.equal(after[once.found], first[once.found]) and torch.equal(after > SHORT["steps"], added)
