"""BASAR on a linear victim, and its manifold projection."""

import pytest
import torch
from black_box import Labels, pool_like, two_classes
from conftest import make_batch

from skeleton_adv.attacks.basar import basar
from skeleton_adv.attacks.manifold import Manifold
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import bone_lengths, bones_exist
from skeleton_adv.core.skeleton import NTU25, OPENPOSE18, Skeleton


def shaken(batch: SkeletonBatch, size: float) -> torch.Tensor:
    rng = torch.Generator().manual_seed(4)
    return batch.x + size * torch.randn(batch.x.shape, generator=rng, dtype=batch.x.dtype) * batch.movable


def ones(batch: SkeletonBatch, value: float = 1.0) -> torch.Tensor:
    return torch.full((len(batch),), value, dtype=batch.x.dtype)


@pytest.mark.parametrize("skeleton", [NTU25, OPENPOSE18], ids=["ntu25", "openpose18"])
@pytest.mark.parametrize("share", [0.04, 0.01])
def test_bones_are_within_their_limits_after_the_projection(skeleton: Skeleton, share: float) -> None:
    batch = make_batch(n=3, skeleton=skeleton)
    far = shaken(batch, 0.05)
    near = Manifold(batch).project(far, ones(batch), ones(batch, share))
    before, after = (bone_lengths(z, skeleton) for z in (batch.x, near))
    exists = bones_exist(batch)
    assert ((after - before).abs() <= share * before + 1e-9)[exists].all()
    assert ((bone_lengths(far, skeleton) - before).abs() > share * before)[exists].any()
    assert torch.equal(near[~batch.movable], batch.x[~batch.movable])


def test_without_limits_the_projection_is_the_closed_form() -> None:
    """``(I + w D'D) e = e'`` for the displacements of each joint, here written with dense matrices."""
    batch = make_batch(n=2, t=7, m=1)
    batch = SkeletonBatch(batch.x, batch.y, torch.ones_like(batch.mask), batch.index, batch.dt, batch.skeleton)
    far = shaken(batch, 0.01)
    second = torch.zeros(5, 7, dtype=torch.float64)
    for row in range(5):
        second[row, row : row + 3] = torch.tensor([1.0, -2.0, 1.0])
    matrix = torch.eye(7, dtype=torch.float64) + 0.5 * second.T @ second
    expected = torch.einsum("st,nctvm->ncsvm", torch.linalg.inv(matrix), far - batch.x)
    near = Manifold(batch).project(far, ones(batch, 0.5), ones(batch, 1e6))
    torch.testing.assert_close(near - batch.x, expected)


def test_the_projection_is_better_than_clamping_alone() -> None:
    batch = make_batch(n=3, t=16)
    far, body, share = shaken(batch, 0.03), Manifold(batch), ones(batch, 0.02)

    def cost(x: torch.Tensor) -> torch.Tensor:
        bend = (x - batch.x).diff(n=2, dim=2)
        return (x - far).flatten(1).square().sum(dim=1) + bend.flatten(1).square().sum(dim=1)

    near = body.project(far, ones(batch), share)
    smooth = batch.x + body._smoothed(far - batch.x, ones(batch), 1.0)
    assert (cost(near) < cost(body.clamped(far, share))).all()
    assert (cost(near) < 1.001 * cost(body.clamped(smooth, share))).all() and (cost(near) > cost(smooth)).all()


@pytest.mark.parametrize("queries", [1, 30, 400])
def test_queries_are_exact_and_distances_rise_at_projections_only(queries: int) -> None:
    model, batch, optimum = two_classes(n=4, t=4)
    labels = Labels(model)
    plain = basar(labels, batch, pool=pool_like(batch), queries=queries, project_every=0, trace=True)
    assert labels.calls == queries and plain.trace is not None and len(plain.trace["l2"]) == queries
    assert not (plain.trace["l2"][1:] > plain.trace["l2"][:-1]).any() and not plain.columns["projected"].any()
    whole = basar(labels, batch, pool=pool_like(batch), queries=queries, project_every=10)
    assert labels.calls == 2 * queries
    for result in (plain, whole):
        assert torch.equal(result.found, labels(result.x_adv) != batch.y)
        length = (result.x_adv - batch.x).flatten(1).norm(dim=1)
        assert (length[result.found] >= optimum[result.found] * (1 - 1e-9)).all()
    if queries == 400:
        assert plain.found.all() and (plain.trace["l2"][-1] < 0.8 * plain.trace["l2"][20]).all()
        before, after = (bone_lengths(z, batch.skeleton) for z in (batch.x, whole.x_adv))
        within = ((after - before).abs() <= 0.04 * before + 1e-6) | ~bones_exist(batch)
        assert within.flatten(1).all(dim=1)[whole.columns["projected"]].all()


@pytest.mark.slow
def test_close_to_the_optimum_of_a_linear_victim() -> None:
    model, batch, optimum = two_classes(n=4)
    x_adv = basar(Labels(model), batch, pool=pool_like(batch), queries=5000, project_every=0).x_adv
    assert ((x_adv - batch.x).flatten(1).norm(dim=1) <= 1.2 * optimum).all()
