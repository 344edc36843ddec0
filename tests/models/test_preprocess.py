"""2s-AGCN's pre-normalisation: its invariances and its gradient."""

import numpy as np
import pytest
import torch
from conftest import make_batch
from torch import Tensor

from skeleton_adv.core.batch import WHOLE
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.geometry import bone_lengths, bones_exist
from skeleton_adv.core.skeleton import NTU25, OPENPOSE18
from skeleton_adv.data.clips import Clip, RawClip, resample
from skeleton_adv.models.preprocess import PreNormalize
from skeleton_adv.models.space import Normalised

normalise = PreNormalize(NTU25)


def test_shoulders_along_x_and_spine_at_zero() -> None:
    batch = make_batch(n=3)
    y = normalise(batch.x)
    across = y[:, :, 0, 8, 0] - y[:, :, 0, 4, 0]
    torch.testing.assert_close(across[:, 0], across.norm(dim=1))
    assert y[:, :, :, NTU25.center, 0].abs().max() == 0


def test_the_output_is_invariant_to_rigid_motion_and_keeps_bone_lengths() -> None:
    batch = make_batch(n=1, m=1)
    turn = torch.linalg.matrix_exp(torch.tensor([[0, 0.4, -0.2], [-0.4, 0, 0.9], [0.2, -0.9, 0]], dtype=torch.float64))
    moved = torch.einsum("dc,nctvm->ndtvm", turn, batch.x) + 0.7
    moved = torch.where(batch.mask, moved, 0)
    before, after = normalise(batch.x), normalise(moved)
    there = bones_exist(batch)
    torch.testing.assert_close(bone_lengths(before, NTU25)[there], bone_lengths(batch.x, NTU25)[there])
    torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1))


def test_the_most_active_person_is_first_and_absent_persons_remain_zero() -> None:
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


class Made:
    """Prepared clips in memory."""

    def __init__(self, *raws: RawClip) -> None:
        self._raws = raws
        self.clips = tuple(Clip(f"clip{k}", 0, "test") for k in range(len(raws)))
        self.digest, self.skipped = "made", ()

    def raw(self, index: int) -> RawClip:
        return self._raws[index]


def raw_clip(seed: int, late: int = 0, gap: int | None = None) -> RawClip:
    """Two persons, of whom the second moves more; both are absent from the first ``late`` frames and from ``gap``."""
    batch = make_batch(n=2, t=20, seed=seed)
    frames = batch.x[1].permute(1, 0, 2, 3).float().numpy()
    frames[..., 1] *= 2
    exists = np.ones((20, 25, 2), dtype=bool)
    exists[:late] = False
    if gap is not None:
        exists[gap] = False
    return RawClip(np.where(exists[:, None], frames, np.float32(0)), exists)


@pytest.mark.parametrize("settings", [{}, {"late": 3}, {"gap": 7}, {"late": 2, "gap": 9}])
def test_2s_agcn_has_the_same_input_in_both_spaces(settings: dict[str, int]) -> None:
    """The input of the network, repeated to 300 frames, is the same if clips or the victim are normalised."""
    made = Made(*(raw_clip(seed, **settings) for seed in range(3)))
    moved = Normalised(made, NTU25)
    for index in range(3):
        shown = []
        for prepared, space in ((made, "camera"), (moved, "normalised")):
            x = resample(prepared.raw(index), 0, 20, WHOLE)[0]
            victim = PreNormalize(NTU25, space)  # type: ignore[arg-type]
            shown.append(victim(torch.from_numpy(x)[None].double()))
        torch.testing.assert_close(shown[1], shown[0], rtol=0, atol=1e-5)
        raw = moved.raw(index)
        assert not raw.frames[:, :, NTU25.center, 0].any() and raw.exists[0].all()
        assert ((raw.frames != 0).any(axis=1) | ~raw.exists | (np.arange(25) == NTU25.center)[None, :, None]).all()
        assert not raw.frames[~raw.exists.any(axis=1)[:, None].repeat(3, 1)[:, :, None].repeat(25, 2)].any()


def test_joints_in_an_image_have_no_normalised_space() -> None:
    with pytest.raises(SettingError, match=r"dataset\.space=normalised"):
        Normalised(Made(raw_clip(0)), OPENPOSE18)
