"""ISAAC-N: the importance of limbs for a linear victim, and what a swap of a limb leaves as it is."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from black_box import PoolOf, pool_like
from conftest import Linear, make_batch

from skeleton_adv.attacks.isaac_n import isaac_n, limb_importance
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import bone_lengths, bones_exist
from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18, Skeleton
from skeleton_adv.core.tree import bone_vectors, limbs

bodies = pytest.mark.parametrize("skeleton", [NTU25, KINECT20, OPENPOSE18], ids=lambda body: body.name)


def swapped(batch: SkeletonBatch, importance: torch.Tensor, **rest: Any) -> Any:
    return isaac_n(None, batch, pool=pool_like(batch), fitted={"importance": importance}, **rest)  # type: ignore[arg-type]


@bodies
def test_bones_keep_their_lengths_and_only_the_least_important_limb_moves(skeleton: Skeleton) -> None:
    batch = make_batch(n=6, t=16, skeleton=skeleton)
    parts = limbs(skeleton)
    importance = torch.rand(3, len(parts), generator=torch.Generator().manual_seed(0))
    result = swapped(batch, importance)
    assert torch.equal(result.columns["limb"], importance.argmin(dim=1)[batch.y]) and not result.found.any()
    before, after = (bone_lengths(x, skeleton)[bones_exist(batch)] for x in (batch.x, result.x_adv))
    torch.testing.assert_close(after, before)
    moved = (result.x_adv != batch.x).any(dim=1).any(dim=1).any(dim=2)  # (N, V)
    for n, limb in enumerate(result.columns["limb"].tolist()):
        assert {*moved[n].nonzero().flatten().tolist()} == {*parts[limb]}
    assert torch.equal(result.x_adv[~batch.movable], batch.x[~batch.movable])


def test_without_a_fade_directions_are_those_of_a_clip_of_another_class() -> None:
    batch = make_batch(n=4, t=8, m=1)
    pool = pool_like(batch)
    importance = torch.zeros(3, len(limbs(NTU25)))
    importance[:, 3] = -1
    for targeted in (False, True):
        importance[:, 3] *= -1 if targeted else 1  # the most important limb for a target
        result = swapped(batch, importance, fade=0, targeted=targeted)
        part = limbs(NTU25)[3]
        bones = [number for number, (joint, _) in enumerate(NTU25.bones) if joint in part]

        def directions(x: torch.Tensor, of: SkeletonBatch, bones: list[int] = bones) -> torch.Tensor:
            vectors = bone_vectors(x, of)[..., bones]
            return vectors / vectors.norm(dim=1, keepdim=True)

        mine, theirs = directions(result.x_adv, batch), directions(pool.clips.x, pool.clips)
        for n in range(4):
            far = (mine[n] - theirs).abs().flatten(1).amax(dim=1)
            assert far.min() < 1e-9 and bool(pool.labels[far.argmin()] == batch.y[n]) is targeted


def test_the_swap_fades_in_and_out() -> None:
    batch = make_batch(n=4, t=30)
    far = (swapped(batch, torch.zeros(3, 5), fade=9).x_adv - batch.x).norm(dim=1).amax(dim=(2, 3))  # (N, T)
    assert (far[:, 0] < 0.3 * far[:, 10:20].amax(dim=1)).all() and (far[:, -1] < 0.3 * far.amax(dim=1)).all()


def test_importance_is_the_rise_of_the_loss_per_class_and_can_be_resumed() -> None:
    clips = make_batch(n=70, t=6, m=1, dtype=torch.float32)
    clips = replace(clips, y=torch.arange(70) % 4)
    model = Linear(clips)
    parts = limbs(NTU25)
    weight = model.weight.view(5, *clips.x.shape[1:])
    weight[:, :, :, list(parts[2])] = 0  # this limb does not matter
    states = list(limb_importance(lambda batch: model, PoolOf(clips), None))
    found = states[-1]["importance"]
    assert found.shape == (4, len(parts)) and not found[:, 2].any() and found[:, [0, 1, 3, 4]].all()
    assert int(states[-1]["done"]) == 70 and len(states) == 3
    resumed = list(limb_importance(lambda batch: model, PoolOf(clips), states[0]))
    assert len(resumed) == 2 and torch.equal(resumed[-1]["importance"], found)
    few = list(limb_importance(lambda batch: model, PoolOf(clips), None, fit_clips=10))
    assert int(few[-1]["done"]) == 10
