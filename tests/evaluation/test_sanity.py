"""Signs of weak attacks, on victims that are built to show them."""

import torch
from conftest import linear_case, make_batch
from torch import Tensor, nn

from skeleton_adv.core.batch import Context
from skeleton_adv.defenses import none
from skeleton_adv.evaluation.sanity import gradient_norm, noise_control, still_falling
from skeleton_adv.models.victim import Victim


class Seen(nn.Module):
    """A linear victim, with or without a first step that has no gradient."""

    def __init__(self, linear: nn.Module, masked: bool) -> None:
        super().__init__()
        self.linear, self.masked = linear, masked

    def forward(self, x: Tensor, context: Context) -> Tensor:
        logits: Tensor = self.linear(x.mul(1e3).round().div(1e3) if self.masked else x)
        return logits


def test_a_masked_gradient_is_detected() -> None:
    linear, batch = linear_case(n=3)
    open_view, masked_view = (Victim(Seen(linear, m), none, "cpu").view(batch, "attack", 0) for m in (False, True))
    probability = linear(batch.x).softmax(dim=1)
    missing = probability - torch.nn.functional.one_hot(batch.y, 5)
    by_hand = (missing @ linear.weight).view_as(batch.x) * batch.movable
    torch.testing.assert_close(gradient_norm(open_view, batch), by_hand.flatten(1).norm(dim=1))
    assert gradient_norm(masked_view, batch).eq(0).all()


def test_a_falling_margin_is_distinguished_from_a_constant_one() -> None:
    y = torch.zeros(2, dtype=torch.long)
    steps = torch.linspace(5, 1, 100)
    answers = [torch.tensor([[float(s), 0.0], [max(float(s), 3.0), 0.0]]) for s in steps]
    assert still_falling(answers, y, False).tolist() == [True, False]
    assert not still_falling(answers[:1], y, False).any()


def test_the_control_has_the_l2_of_the_attack() -> None:
    batch = make_batch(n=3)
    x_adv = batch.x + torch.tensor([0.1, 0.0, 0.7], dtype=batch.x.dtype).view(-1, 1, 1, 1, 1) * batch.movable
    moved = noise_control(x_adv, batch, 0) - batch.x
    torch.testing.assert_close(moved.flatten(1).norm(dim=1), (x_adv - batch.x).flatten(1).norm(dim=1))
    assert not moved[~batch.movable].any() and not moved[1].any()
