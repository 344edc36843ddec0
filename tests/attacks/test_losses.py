"""Margins of any logits, including negative ones."""

import torch

from skeleton_adv.attacks.losses import fooled, hinge, margin

LOGITS = torch.tensor([[-1.0, -3.0, -2.0], [-9.0, -8.0, -7.0]])
Y = torch.tensor([0, 0])


def test_margin_by_hand() -> None:
    assert margin(LOGITS, Y).tolist() == [1.0, -2.0]
    assert margin(LOGITS, Y, targeted=True).tolist() == [-1.0, 2.0]
    assert hinge(LOGITS, Y, False, 1.0).tolist() == [2.0, 0.0]
    assert hinge(LOGITS, Y, True, 0.5).tolist() == [0.0, 2.5]


def test_fooled_agrees_with_the_sign_of_the_margin() -> None:
    assert fooled(LOGITS, Y, targeted=False).tolist() == [False, True]
    assert fooled(LOGITS, Y, targeted=True).tolist() == [True, False]
