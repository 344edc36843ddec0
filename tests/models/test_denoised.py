"""CTR-GCN's preprocessing, against the authors' pipeline and its invariances."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_batch
from torch import Tensor

from skeleton_adv.core.batch import WHOLE
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import BODY25, NTU25, OPENPOSE18
from skeleton_adv.data.ntu import read_skeleton_file, select_bodies
from skeleton_adv.models.preprocess import Denoised


@pytest.mark.parametrize(
    ("name", "length", "stream"),
    [("ctrgcn_test_64", 64, "joint"), ("ctrgcn_test_64_bone", 64, "bone"), ("sttformer_test_120", 120, "joint")],
)
def test_clips_are_those_of_the_authors_feeders(name: str, length: int, stream: str, shared: Path) -> None:
    golden = np.load(shared / "golden/denoised_pipeline.npz")
    front = Denoised(NTU25, WHOLE, length, stream=stream).eval()  # type: ignore[arg-type]
    moved = torch.from_numpy(golden["x"]).view(4, WHOLE, 2, 25, 3).permute(0, 4, 1, 3, 2)
    present = (moved != 0).any(dim=3, keepdim=True).any(dim=1, keepdim=True)
    moved = torch.where(present, moved + torch.tensor([0.3, -0.1, 2.5]).view(1, 3, 1, 1, 1), 0)
    found = front(moved)  # in front of a camera, as recorded
    for number, clip in enumerate(golden["names"]):
        expected = torch.from_numpy(golden[f"{clip}/{name}"])
        torch.testing.assert_close(found[number], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "clip", ["S001C001P001R001A001", "S001C002P001R001A050", "S002C001P003R001A051", "S002C003P001R001A008"]
)
def test_raw_clips_become_those_of_the_authors_feeder(clip: str, shared: Path) -> None:
    """Among them are a body that is noise, a second person, a change of identity, and frames without a body."""
    (file,) = (shared / "golden").glob(f"ntu_raw*/{clip}.skeleton")
    raw = select_bodies(read_skeleton_file(file), 2)
    x = torch.zeros(1, 3, WHOLE, 25, 2)
    x[0, :, : len(raw.frames)] = torch.from_numpy(raw.frames).permute(1, 0, 2, 3)
    expected = torch.from_numpy(np.load(shared / "golden/denoised_pipeline.npz")[f"{clip}/ctrgcn_test_64"])
    torch.testing.assert_close(Denoised(NTU25, WHOLE).eval()(x)[0], expected, rtol=0, atol=1e-6)


def test_training_windows_are_not_cropped_again_and_a_single_person_may_be_written_twice() -> None:
    x = torch.zeros(1, 3, WHOLE, 25, 2)
    x[..., :100, :, 0] = make_batch(n=1, t=100, m=1).x[..., 0].float()
    x.requires_grad_()
    for training, last in ((True, 99), (False, 97)):
        (gradient,) = torch.autograd.grad(Denoised(NTU25, WHOLE).train(training)(x).square().sum(), x)
        assert gradient.abs().sum((0, 1, 3, 4)).nonzero().max() == last
    y = Denoised(NTU25, WHOLE, single_twice=True).eval()(x)
    assert torch.equal(y[..., 0], y[..., 1]) and y.abs().max() > 0


def test_translations_cancel_and_absent_persons_stay_zero() -> None:
    batch = make_batch(n=3)
    front = Denoised(NTU25, batch.x.shape[2], 12)
    moved = torch.where(batch.mask, batch.x + 0.7, 0)
    torch.testing.assert_close(front(moved), front(batch.x))
    absent = ~batch.mask.any(dim=3, keepdim=True).any(dim=2, keepdim=True).expand(-1, 3, 12, 25, -1)
    assert (front(batch.x)[absent] == 0).all() and absent.any()


def test_aligned_clips_do_not_depend_on_where_the_camera_was() -> None:
    batch = make_batch(n=2, m=1)
    x = batch.x + torch.tensor([0.0, 0.0, 3.0]).view(1, 3, 1, 1, 1)
    turn = torch.linalg.matrix_exp(torch.tensor([[0, 0.4, -0.2], [-0.4, 0, 0.9], [0.2, -0.9, 0]], dtype=torch.float64))
    front = Denoised(NTU25, x.shape[2], None, aligned=True)
    y = front(x)
    torch.testing.assert_close(front(torch.einsum("dc,nctvm->ndtvm", turn, x)), y)
    spine, hips = y[:, :, 0, 1, 0] - y[:, :, 0, 0, 0], y[:, :, 0, 12, 0] - y[:, :, 0, 16, 0]
    torch.testing.assert_close(spine[:, :2], torch.zeros_like(spine[:, :2]))  # up
    torch.testing.assert_close(hips[:, 1], torch.zeros_like(hips[:, 1]))  # across and up


def test_gradient() -> None:
    batch = make_batch(n=1, t=2)
    front = Denoised(NTU25, 2, 3, aligned=True, stream="bone_motion")

    def existing(x: Tensor) -> Tensor:
        y: Tensor = front(torch.where(batch.mask, x, 0))
        return y

    assert torch.autograd.gradcheck(existing, batch.x.clone().requires_grad_())


def test_frames_and_joints_that_do_not_fit_are_refused() -> None:
    assert Denoised(NTU25, 32, None, multiple=6)(torch.randn(1, 3, 32, 25, 1)).shape[2] == 36
    assert Denoised(OPENPOSE18, 16, 8)(torch.randn(1, 3, 16, 18, 1)).shape[2] == 8
    with pytest.raises(SettingError, match="length=null"):
        Denoised(NTU25, WHOLE, None)
    with pytest.raises(SettingError, match="left_hip"):
        Denoised(_without_hips(), 16, None, aligned=True)
    assert Denoised(BODY25, 16, None, aligned=True)(torch.randn(1, 3, 16, 25, 1)).shape[2] == 16  # in an image


def _without_hips() -> object:
    from skeleton_adv.core.skeleton import Skeleton

    return Skeleton.from_dict({"name": "stick", "joints": ["a", "b", "c"], "parents": [0, 0, 1]})
