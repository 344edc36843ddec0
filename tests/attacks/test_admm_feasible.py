"""ADMM inside the limits of the body: every clip is feasible, and more starts never lose a success."""

from typing import Any

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


def test_restarts_add_successes_and_lose_none() -> None:
    model, batch = linear_case(n=6, t=5, dtype=torch.float32)
    once, often = (admm_feasible(model, batch, constraints=PAPER, restarts=n, **SHORT) for n in (1, 3))
    assert (often.found >= once.found).all() and not once.found.all()
    first = once.columns["found_after"][once.found]
    assert torch.equal(often.columns["found_after"][once.found], first) and first.max() <= SHORT["steps"]
    later = often.columns["found_after"][often.found & ~once.found]
    assert (later > SHORT["steps"]).all()
    assert not torch.equal(often.x_adv, once.x_adv)
