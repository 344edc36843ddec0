"""Laws of every constraint in ``conf/constraint``."""

import pytest
import torch
from conftest import make_batch
from jobs import job_of
from options import options

from skeleton_adv.constraints import Constraint
from skeleton_adv.core.skeleton import KINECT20, NTU25

EVERY = {
    f"{option}-{name}": constraint
    for option in options("constraint")
    for name, constraint in vars(job_of([f"constraint={option}"]).task)["constraint"].items()
}
every = pytest.mark.parametrize("constraint", EVERY.values(), ids=list(EVERY))
bodies = pytest.mark.parametrize("skeleton", [NTU25, KINECT20], ids=lambda skeleton: skeleton.name)


@every
@bodies
def test_clean_clips_satisfy_it_and_no_clip_depends_on_another(constraint: Constraint, skeleton: object) -> None:
    batch = make_batch(n=3, skeleton=skeleton)  # type: ignore[arg-type]
    assert not constraint.violation(batch.x, batch).any() and constraint.satisfied(batch.x, batch).all()
    moved = batch.x + 0.05 * torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(0)).double()
    moved = torch.where(batch.movable, moved, batch.x)
    limits = constraint.on(batch)
    assert limits.violation(moved).shape == limits.exists.shape and (limits.violation(moved) >= 0).all()
    alone = torch.where(torch.arange(3).view(-1, 1, 1, 1, 1) == 1, moved, batch.x)
    assert torch.equal(limits.violation(alone)[1], limits.violation(moved)[1])
    assert not limits.violation(alone)[[0, 2]].any()


@every
def test_absent_entries_are_never_violated_and_gradients_are_finite(constraint: Constraint) -> None:
    batch = make_batch(n=2)
    x = (batch.x + 0.1 * batch.movable).requires_grad_()
    limits = constraint.on(batch)
    violation = limits.violation(x)
    assert not violation[~limits.exists].any()
    (gradient,) = torch.autograd.grad(violation.sum(), x)
    assert gradient.isfinite().all() and not gradient[~batch.movable].any()


@every
def test_it_declares_symbol_and_unit(constraint: Constraint) -> None:
    assert constraint.name.isidentifier() and constraint.symbol and constraint.unit in ("share", "rad", "m")
