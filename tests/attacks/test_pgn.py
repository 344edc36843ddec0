"""PGN: its step is that of the penalised loss, in closed form by a Hessian-vector product."""

import pytest
import torch
from conftest import Linear, linear_case, make_batch
from torch import Tensor

from skeleton_adv.attacks.losses import margin
from skeleton_adv.attacks.momentum import objective
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.attacks.pgn import pgn
from skeleton_adv.constraints.ball import unit


class Curved(Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 3 * super().forward(x).sin()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_without_neighbourhood_and_penalty_it_is_mi_fgsm(norm: str) -> None:
    model, batch = linear_case(n=6)
    settings = {"norm": norm, "eps": 0.05, "steps": 5}
    plain = pgd(model, batch, step=0.01, random_start=False, momentum=1.0, **settings)  # type: ignore[arg-type]
    result = pgn(model, batch, neighbours=1, radius=0.0, balance=0.0, **settings)  # type: ignore[arg-type]
    torch.testing.assert_close(result.x_adv, plain.x_adv, rtol=0, atol=1e-9)


def test_its_step_descends_the_penalised_loss() -> None:
    """One step in l2: the gradient plus ``balance * step`` times the Hessian along the normalised gradient."""
    batch = make_batch()
    model, step, balance = Curved(batch), 1e-4, 0.7
    x = torch.where(batch.movable, batch.x, 0).requires_grad_()
    (gradient,) = torch.autograd.grad(objective(model(x), batch.y, False).sum(), x, create_graph=True)
    gradient = torch.where(batch.movable, gradient, 0)
    across = unit(gradient.detach())
    (curvature,) = torch.autograd.grad((gradient * across).sum(), x)
    expected = -step * unit(gradient.detach() + balance * step * torch.where(batch.movable, curvature, 0))
    settings = {"norm": "l2", "eps": 1.0, "step": step, "steps": 1, "neighbours": 1, "radius": 0.0}
    moved = [pgn(model, batch, balance=b, **settings).x_adv - batch.x for b in (balance, 0.0)]  # type: ignore[arg-type]
    error = (moved[0] - expected).norm()
    assert error < 1e-3 * (moved[0] - moved[1]).norm()


@pytest.mark.parametrize("targeted", [False, True])
def test_it_stays_in_its_ball_and_lowers_the_margin(targeted: bool) -> None:
    model, batch = linear_case(n=6)
    batch = batch.with_labels((batch.y + 1) % 5) if targeted else batch
    result = pgn(model, batch, targeted=targeted, eps=0.02, steps=5, neighbours=2)
    moved = result.x_adv - batch.x
    assert moved.abs().max() <= 0.02 + 1e-12 and not moved[~batch.movable].any()
    before, after = (margin(model(z), batch.y, targeted) for z in (batch.x, result.x_adv))
    assert (after < before).all()


def test_neighbours_of_a_joint_with_its_own_budget_are_within_its_radius() -> None:
    model, batch = linear_case(n=4)
    seen: list[Tensor] = []

    def recording(x: Tensor) -> Tensor:
        seen.append((x.detach() - batch.x).abs().amax(dim=(0, 1, 2, 4)))
        return model(x)  # type: ignore[no-any-return]

    own = batch.limited(joint_eps={batch.skeleton.joints[3]: 0.001})
    pgn(recording, own, eps=0.02, step=1e-9, steps=1, neighbours=8, radius=3.0)
    farthest = torch.stack(seen).amax(dim=0)
    assert 0.002 < farthest[3] <= 0.003 + 1e-6 and 0.04 < farthest[4] <= 0.06 + 1e-6
