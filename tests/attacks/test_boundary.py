"""The boundary attack on a linear victim: exact queries, distances that never rise, and the optimum."""

import pytest
import torch
from black_box import Labels, pool_like, two_classes

from skeleton_adv.attacks.boundary import around, boundary
from skeleton_adv.attacks.starts import nearest_start
from skeleton_adv.core.noise import normal


@pytest.mark.parametrize("queries", [1, 7, 45, 300])
def test_queries_are_exact_and_distances_never_rise(queries: int) -> None:
    model, batch, optimum = two_classes(n=6)
    labels = Labels(model)
    result = boundary(labels, batch, pool=pool_like(batch), queries=queries, trace=True)
    assert labels.calls == queries and result.trace is not None and len(result.trace["l2"]) == queries
    assert not (result.trace["l2"][1:] > result.trace["l2"][:-1]).any()
    assert torch.equal(result.found, labels(result.x_adv) != batch.y)
    length = (result.x_adv - batch.x).flatten(1).norm(dim=1)
    assert (length[result.found] >= optimum[result.found] * (1 - 1e-9)).all()
    if queries == 300:
        assert result.found.all() and (length < 0.8 * result.trace["l2"][20]).all()


def test_a_clip_that_is_wrong_already_stays() -> None:
    model, batch, _ = two_classes(n=4)
    wrong = batch.with_labels(1 - batch.y)
    result = boundary(Labels(model), wrong, pool=pool_like(batch), queries=40)
    assert torch.equal(result.x_adv, batch.x) and result.found.all()


def test_starts_of_a_target_and_of_no_class() -> None:
    model, batch, _ = two_classes(n=4)
    x, length = nearest_start(Labels(model), batch.with_labels(1 - batch.y), pool_like(batch), True, 0, 30)
    found = length.isfinite()
    assert found.any() and torch.equal(Labels(model)(x)[found], (1 - batch.y)[found])
    torch.testing.assert_close((x - batch.x).flatten(1).norm(dim=1)[found], length[found])
    x, length = nearest_start(lambda x: torch.full((4,), -1), batch, pool_like(batch), False, 0, 10)
    assert torch.equal(x, batch.x) and not length.isfinite().any()


def test_moves_on_the_sphere() -> None:
    _, batch, _ = two_classes(n=3)
    noise = torch.where(batch.movable, normal(batch.x, batch.index, 0, "test"), 0)
    x = batch.x + 0.3 * torch.where(batch.movable, normal(batch.x, batch.index, 1, "test"), 0)
    moved = around(batch.x, x, noise, torch.full((3,), 0.1, dtype=torch.float64))
    before, after = ((z - batch.x).flatten(1) for z in (x, moved))
    torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1))
    cosine = (before * after).sum(dim=1) / before.norm(dim=1) / after.norm(dim=1)
    torch.testing.assert_close(cosine, torch.full_like(cosine, 1 / 1.01**0.5))
    assert torch.equal(moved[~batch.movable], batch.x[~batch.movable])


@pytest.mark.slow
def test_close_to_the_optimum_of_a_linear_victim() -> None:
    model, batch, optimum = two_classes(n=4)
    x_adv = boundary(Labels(model), batch, pool=pool_like(batch), queries=5000).x_adv
    assert ((x_adv - batch.x).flatten(1).norm(dim=1) <= 1.2 * optimum).all()
