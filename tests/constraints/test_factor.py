"""One factor per bone: membership, the projection, and what other perturbations do."""

import pytest
import torch
from conftest import make_batch

from skeleton_adv.constraints import BoneFactor
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import NTU25, OPENPOSE18, Skeleton
from skeleton_adv.core.tree import bone_vectors, rebuilt

bodies = pytest.mark.parametrize("skeleton", [NTU25, OPENPOSE18], ids=["ntu25", "openpose18"])


def drawn(skeleton: Skeleton, width: float, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return 1 + width * (2 * torch.rand(4, 2, skeleton.num_joints - 1, generator=rng, dtype=torch.float64) - 1)


@bodies
def test_clips_of_such_factors_are_inside_and_factors_are_recovered(skeleton: Skeleton) -> None:
    batch, limit = make_batch(n=4, skeleton=skeleton), BoneFactor(0.1)
    factors = drawn(skeleton, 0.1)
    x_adv = rebuilt(batch, factors).float()
    assert limit.satisfied(x_adv, batch).all()
    torch.testing.assert_close(limit.project(x_adv.double(), batch), rebuilt(batch, factors), rtol=0, atol=1e-6)
    there = batch.mask[:, 0, 0, :-1].transpose(1, 2)  # a person exists in all frames or in none
    torch.testing.assert_close(limit.factors(rebuilt(batch, factors), batch)[there], factors[there])


@bodies
def test_larger_factors_and_other_changes_are_outside(skeleton: Skeleton) -> None:
    batch, limit = make_batch(n=4, skeleton=skeleton), BoneFactor(0.1)
    for factor in (0.89, 1.11):
        assert not limit.satisfied(rebuilt(batch, torch.full_like(drawn(skeleton, 0), factor)), batch).any()
    one_frame = batch.x.clone()
    one_frame[:, 0, 2, 3, 0] += 0.001  # a change of one frame cannot be a factor over the clip
    assert not limit.satisfied(one_frame, batch).any()
    shifted = torch.where(batch.movable, batch.x + 0.01, batch.x)  # the root moves
    assert not limit.satisfied(shifted, batch).any()
    furthest = limit.on(batch).measure(shifted).amax(dim=1)
    torch.testing.assert_close(furthest, torch.full_like(furthest, 0.01 * len(skeleton.coords) ** 0.5))


def test_the_projection_is_the_nearest_per_bone_and_idempotent() -> None:
    batch, limit = make_batch(n=4), BoneFactor(0.1)
    noise = 0.05 * torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    far = batch.x + noise * batch.movable
    best, near = limit.factors(far, batch), limit.project(far, batch)
    assert limit.satisfied(near, batch).all() and not limit.satisfied(far, batch).any()
    torch.testing.assert_close(limit.project(near, batch), near)
    assert torch.equal(near[~batch.movable], batch.x[~batch.movable])

    def misfit(factors: torch.Tensor) -> torch.Tensor:
        clean, moved = bone_vectors(batch.x, batch), bone_vectors(far, batch)
        return (moved - factors[:, None, None] * clean).square().sum(dim=(1, 2))  # (N, M, E)

    for seed in range(10):
        assert (misfit(best) <= misfit(drawn(NTU25, 0.1, seed)) + 1e-12).all()


def test_values_out_of_range_are_named() -> None:
    with pytest.raises(SettingError, match=r"constraint\.bone_factor\.eps=1"):
        BoneFactor(1.0)
