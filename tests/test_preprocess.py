"""2s-AGCN's pre-normalisation: what it forgets, what it keeps, and its gradient."""

import torch
from conftest import make_batch
from torch import Tensor

from skeleton_adv.constraints import bone_lengths, bones_exist
from skeleton_adv.models.preprocess import PreNormalize
from skeleton_adv.skeleton import NTU25

normalise = PreNormalize(NTU25)


def test_shoulders_along_x_and_spine_at_zero() -> None:
    batch = make_batch(n=3)
    y = normalise(batch.x)
    across = y[:, :, 0, 8, 0] - y[:, :, 0, 4, 0]
    torch.testing.assert_close(across[:, 0], across.norm(dim=1))
    assert y[:, :, :, NTU25.center, 0].abs().max() == 0


def test_rigid_motion_is_forgotten_and_bones_are_kept() -> None:
    batch = make_batch(n=1, m=1)
    turn = torch.linalg.matrix_exp(torch.tensor([[0, 0.4, -0.2], [-0.4, 0, 0.9], [0.2, -0.9, 0]], dtype=torch.float64))
    moved = torch.einsum("dc,nctvm->ndtvm", turn, batch.x) + 0.7
    moved = torch.where(batch.mask, moved, 0)
    before, after = normalise(batch.x), normalise(moved)
    there = bones_exist(batch)
    torch.testing.assert_close(bone_lengths(before, NTU25)[there], bone_lengths(batch.x, NTU25)[there])
    torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1))


def test_who_moves_most_comes_first_and_who_is_absent_stays_at_zero() -> None:
    batch = make_batch(n=2)
    batch.x[1, ..., 1] *= 3
    y = normalise(batch.x)
    assert y[1, :, :, NTU25.center, 0].abs().max() == 0  # the second person, who moved more, is the centre now
    assert y[1, :, :, NTU25.center, 1].abs().max() > 0
    assert y[0, ..., 1].abs().max() == 0


def test_gradient() -> None:
    batch = make_batch(n=2, t=2)

    def existing(x: Tensor) -> Tensor:
        return normalise(torch.where(batch.mask, x, 0))

    assert torch.autograd.gradcheck(existing, batch.x.clone().requires_grad_())
