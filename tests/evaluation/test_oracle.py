"""Rows, compared with an independent recomputation from the saved clips."""

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Linear, make_batch
from oracle import columns, of_run
from safetensors.numpy import save_file

from skeleton_adv.attacks.admm import admm
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.constraints import BoneLength, Constraint, JointAngle, Speed
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18, Skeleton
from skeleton_adv.data.clips import Clip
from skeleton_adv.defenses import none
from skeleton_adv.evaluation import attack as evaluated
from skeleton_adv.evaluation.attack import Evaluation
from skeleton_adv.models.victim import Victim

EXACT = ("bone_ok", "angle_ok", "speed_ok", "feasible")


class Plain(torch.nn.Module):
    def __init__(self, batch: SkeletonBatch) -> None:
        super().__init__()
        self.linear = Linear(batch)

    def forward(self, x: torch.Tensor, context: object) -> torch.Tensor:
        return self.linear(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("skeleton", [NTU25, KINECT20, OPENPOSE18], ids=lambda s: s.name)
@pytest.mark.parametrize("reading", ["speed", "velocity"])
def test_rows_are_those_of_the_saved_clips(
    skeleton: Skeleton, reading: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For feasible and infeasible clips with absent persons and joints, in float64 from the saved float32."""
    whole = make_batch(n=12, t=8, skeleton=skeleton, dtype=torch.float32)
    whole.mask[3, 0, 2:4, 7, 0] = False
    whole.x[3, :, 2:4, 7, 0] = 0

    def loaded(dataset: Any, prepared: Any, numbers: list[int]) -> SkeletonBatch:
        own = (getattr(whole, name)[list(numbers)] for name in ("x", "y", "mask", "index", "dt"))
        return SkeletonBatch(*own, skeleton)

    monkeypatch.setattr(evaluated, "load_batch", loaded)
    victim = Victim(Plain(whole), none, "cpu")
    limits: dict[str, Constraint] = {"bone": BoneLength(0.02), "angle": JointAngle(0.2), "speed": Speed(0.3, reading)}
    prepared: Any = type("Made", (), {"clips": tuple(Clip(f"clip {n}", 0, "test") for n in range(12))})()
    dataset: Any = type("Data", (), {"classes": tuple("abcde")})()
    rows: dict[int, dict[str, Any]] = {}
    kept: dict[str, list[np.ndarray]] = {"x": [], "x_adv": [], "mask": [], "index": []}

    def save(numbers: list[int], found: list[dict[str, Any]], arrays: Any) -> None:
        for name in ("x", "x_adv", "mask"):
            kept[name].append(arrays[name])
        kept["index"].append(np.array(numbers))

    seen = set()
    for attack in (
        partial(admm, constraints=limits, outer_steps=3, beta=5.0),
        partial(pgd, eps=2e-4, step=1e-4, steps=2),
        partial(pgd, eps=1e-5, step=1e-5, steps=2),
    ):
        for values in kept.values():
            values.clear()
        made = Evaluation(dataset, prepared, victim, victim, attack, limits, False, "random", 0, 5)
        made.run(range(12), set(), lambda f: rows.update({row["index"]: row for row in f}), lambda p, _: p, save)
        speed = {"eps": 0.3, "reading": reading, "floor": 0.0}
        settings = {"constraint": {"bone": {"eps": 0.02}, "angle": {"eps": 0.2}, "speed": speed}}
        about = {"skeleton": skeleton.name, "settings": settings}
        (tmp_path / "clips").mkdir(exist_ok=True)
        (tmp_path / "run.json").write_text(json.dumps(about))
        save_file({key: np.concatenate(value) for key, value in kept.items()}, tmp_path / "clips/a.safetensors")
        again = of_run(tmp_path)
        assert {*again} == {*rows} == {*range(12)}
        for index, expected in again.items():
            assert {*expected} <= {*rows[index]}
            for name, value in expected.items():
                if name in EXACT:
                    assert rows[index][name] is value, (index, name)
                else:
                    assert rows[index][name] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), (index, name)
            seen |= {(name, expected[name]) for name in EXACT}
    assert seen == {(name, fine) for name in EXACT for fine in (False, True)}  # each was both true and false


def test_the_recomputation_itself_by_hand() -> None:
    """One forearm is 10 % longer in one frame of a moving body, which lacks one joint there (74 remain)."""
    batch = make_batch(n=1, t=3, m=1)
    x = batch.x[0].numpy()
    child = 7
    parent = batch.skeleton.parents[child]
    moved = x.copy()
    moved[:, 1, child] += 0.1 * (x[:, 1, child] - x[:, 1, parent])
    found = columns(x, moved, batch.mask[0].numpy(), batch.skeleton)
    bone = float(np.linalg.norm(x[:, 1, child, 0] - x[:, 1, parent, 0]))
    assert found["l2"] == pytest.approx(0.1 * bone) and found["rms_mm"] == pytest.approx(100 * bone / 74**0.5)
    assert found["bone_max"] == pytest.approx(0.1, rel=1e-3) and found["bone_ok"] is False
    assert found["feasible"] is False and columns(x, x, batch.mask[0].numpy(), batch.skeleton)["feasible"] is True
