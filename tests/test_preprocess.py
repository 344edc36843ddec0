"""2s-AGCN's pre-normalisation: what it forgets, what it keeps, and its gradient."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_batch
from torch import Tensor

from skeleton_adv.batch import WHOLE
from skeleton_adv.constraints import bone_lengths, bones_exist
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.errors import SettingError
from skeleton_adv.models.preprocess import PreNormalize
from skeleton_adv.skeleton import KINECT20, NTU25, OPENPOSE18
from skeleton_adv.space import Normalised

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


def test_a_whole_clip_is_repeated_and_its_gradient_goes_to_the_frames_that_exist() -> None:
    frames = make_batch(n=1, t=7, m=1).x
    gaps = frames.clone()
    gaps[:, :, 3] = 0
    late = torch.cat([torch.zeros_like(frames[:, :, :2]), frames], dim=2)
    for x, places in ((frames, range(7)), (gaps, range(7)), (late, range(2, 9))):
        whole = torch.cat([x, x.new_zeros(1, 3, WHOLE - x.shape[2], *x.shape[3:])], dim=2).requires_grad_()
        y = normalise(whole)
        once = normalise(x[:, :, list(places)])
        torch.testing.assert_close(y, once[:, :, torch.arange(WHOLE) % 7])
        (gradient,) = torch.autograd.grad(y[:, :, 250].square().sum(), whole)
        moved = set(gradient.abs().sum(dim=(0, 1, 3, 4)).nonzero().flatten().tolist())
        assert moved <= {places[0], places[250 % 7]} and places[250 % 7] in moved


def test_the_normalised_space_is_where_2s_agcn_would_be(mat_folder: Path, tmp_path: Path) -> None:
    dataset = UTDMHAD(str(mat_folder), num_persons=2)
    prepared = prepare(dataset, tmp_path)
    raw, moved = prepared.raw(3), Normalised(prepared, KINECT20).raw(3)
    x = torch.from_numpy(raw.frames.astype(np.float64)).permute(1, 0, 2, 3)[None]
    expected = PreNormalize(KINECT20)(x)[0].permute(1, 0, 2, 3).numpy()
    np.testing.assert_allclose(moved.frames, expected, atol=1e-6)
    assert not moved.frames[:, :, KINECT20.center, 0].any() and moved.exists[..., 0].all()
    with pytest.raises(SettingError, match=r"dataset\.space=normalised"):
        Normalised(prepared, OPENPOSE18)
