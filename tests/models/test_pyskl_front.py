"""pyskl's preprocessing, compared with what its code makes of fabricated clips, stage by stage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_batch
from golden_inputs import golden_clips, golden_state
from options import context_of
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import BODY25, COCO17, KINECT20, NTU25, Skeleton
from skeleton_adv.models.network import Network
from skeleton_adv.models.pyskl.features import Feature
from skeleton_adv.models.pyskl.front import Front
from skeleton_adv.models.pyskl.normalise import PreNormalize2D, PreNormalize3D, rounded
from skeleton_adv.models.pyskl.sampling import frame_numbers, numbers_of, sampled
from skeleton_adv.models.pyskl.stgcnpp import STGCNPP
from skeleton_adv.models.streams import STREAMS

ONE = "S001C001P001R001A001"  # 40 frames of one person
CLIPS_3D = (ONE, "S001C002P001R001A050", "S002C001P003R001A051", "S002C003P001R001A008")
CLIPS_2D = ("S001C001P001R001A003", "S001C002P003R001A055")
FEATURES = {"bone": "feat_b", "joint_motion": "feat_jm", "bone_motion": "feat_bm"}


class Stages:
    """The stored stages of one clip, and the clip in the attack space (1, 3, 300, V, 2)."""

    def __init__(self, archive: Any, name: str) -> None:
        self.stored = {key.partition("/")[2]: archive[key] for key in archive if key.startswith(f"{name}/")}
        joints = self.stored["keypoint"].astype(np.float64)  # (M, T, V, C)
        if "img_shape" in self.stored:
            height, width = self.stored["img_shape"]
            score = self.stored["keypoint_score"].astype(np.float64)
            x, y = joints[..., 0] / width - 0.5, 0.5 - joints[..., 1] / height
            joints = np.where(score[..., None] > 0, np.stack([x, y, score], axis=-1), 0)
        persons, frames = joints.shape[:2]
        self.x = torch.zeros(1, 3, 300, joints.shape[2], 2, dtype=torch.float64)
        self.x[0, :, :frames, :, :persons] = torch.from_numpy(joints.transpose(3, 1, 2, 0))

    def assert_same(self, key: str, x: Tensor, count: int, atol: float) -> None:
        """Assert that the existing frames and persons of x (1, C, T, V, M) are those of a stage (M, T, V, C)."""
        expected = torch.from_numpy(self.stored[key].astype(np.float64))
        found = x[0, :, :count, :, : len(expected)].permute(3, 1, 2, 0)
        torch.testing.assert_close(found, expected, rtol=0, atol=atol)

    def assert_input(self, key: str, x: Tensor) -> None:
        expected = torch.from_numpy(self.stored[key][0])
        assert torch.equal(x[0].permute(3, 1, 2, 0).float(), expected)


@pytest.fixture(scope="module")
def archive(shared: Path) -> Any:
    return np.load(shared / "golden/pyskl_pipeline.npz")


@pytest.mark.parametrize("name", CLIPS_3D)
def test_stages_of_clips_in_space(archive: Any, name: str) -> None:
    """Rotated clips agree to rounding, and rounded clips, sampled frames and float32 inputs exactly."""
    stages = Stages(archive, name)
    x, count = PreNormalize3D(NTU25)(stages.x)
    assert int(count) == int(stages.stored["total_frames"])
    stages.assert_same("prenorm", x, int(count), 1e-14)
    plain, _ = PreNormalize3D(NTU25, align_spine=False)(stages.x)
    stages.assert_same("prenorm_nospine", plain, int(count), 0)
    for stream, key in FEATURES.items():  # pyskl's bones are float32
        stages.assert_same(key, Feature(NTU25, stream)(x, count), int(count), 1e-6)  # type: ignore[arg-type]
    for clips in (1, 10):
        for decode, prefix in ((False, ""), (True, "dg_")):
            numbers = numbers_of(count, 100, clips, decode, training=False)
            assert np.array_equal(numbers.flatten().numpy(), stages.stored[f"{prefix}frame_inds_{clips}"])
    stages.assert_input("input_1", Front(NTU25).eval()(stages.x))
    stages.assert_input("dg_input_1", Front(NTU25, align_spine=False, decode=True).eval()(stages.x))
    exact, _ = PreNormalize3D(NTU25, half=False)(stages.x)
    assert 1e-5 < (exact - x).abs().max() < 2.5e-3


@pytest.mark.parametrize("name", CLIPS_2D)
def test_stages_of_clips_in_an_image(archive: Any, name: str) -> None:
    stages = Stages(archive, name)
    x, count = PreNormalize2D(COCO17)(stages.x)
    stages.assert_same("prenorm2d", x, int(count), 1e-6)
    for stream, key in FEATURES.items():
        stages.assert_same(key, Feature(COCO17, stream)(x, count), int(count), 1e-6)  # type: ignore[arg-type]
    for clips in (1, 10):
        numbers = numbers_of(count, 100, clips, decode=False, training=False)
        assert np.array_equal(numbers.flatten().numpy(), stages.stored[f"frame_inds_{clips}"])
    found = Front(COCO17).eval()(stages.x)[0].permute(3, 1, 2, 0).float()
    torch.testing.assert_close(found, torch.from_numpy(stages.stored["input_1"][0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in CLIPS_3D])
def test_a_judgement_is_the_mean_softmax_of_ten_samplings(archive: Any, name: str) -> None:
    stages = Stages(archive, name)
    golden = json.loads((Path(__file__).parents[1] / "golden/pyskl_stgcnpp_ntu_t100.json").read_text())
    model = STGCNPP().double().eval()
    model.load_state_dict(golden_state(golden))
    batch = make_batch(n=1, t=300, m=2)
    with torch.no_grad():
        attacked = Network(Front(NTU25), model).eval()(stages.x, context_of(batch, purpose="attack"))
        judged = Network(Front(NTU25), model).eval()(stages.x, context_of(batch, purpose="judge"))
    # The stored inputs are float32.
    torch.testing.assert_close(attacked[0], torch.from_numpy(stages.stored["logits_10"][0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(judged[0].exp(), torch.from_numpy(stages.stored["prob"]), rtol=0, atol=1e-6)


def test_a_purpose_decides_on_the_number_of_samplings() -> None:
    batch, front = make_batch(n=2, t=16), Front(NTU25, length=20, judged_clips=3).eval()
    attack, judge = (front(batch.x, context_of(batch, purpose=purpose)) for purpose in ("attack", "judge"))
    assert attack.shape == (2, 3, 20, 25, 2) and judge.shape == (2, 3, 3, 20, 25, 2)
    assert torch.equal(judge[:, 0], attack) and torch.equal(front(batch.x), attack)
    assert "judgements" in Network(front, nn.Identity()).remarks[0]
    assert not Network(Front(NTU25, clips=3, judged_clips=3), nn.Identity()).remarks[0].startswith("attacks see")
    several = Front(NTU25, stream=STREAMS, length=20).eval()(batch.x)
    assert len(several) == 4 and torch.equal(several[0], attack)


def test_the_person_with_more_frames_comes_first_and_other_frames_go() -> None:
    x = golden_clips(2, 3, 8, 25, 2, seed=1).double() + 3
    x[0] = x[1]
    x[0, :, 2:5, :, 0] = 0  # the first person has five frames, the second seven
    x[0, :, 3, :, 1] = 0
    found, count = PreNormalize3D(NTU25, half=False)(x)
    assert count.tolist() == [7, 8]
    alone, _ = PreNormalize3D(NTU25, half=False)(x[:1, :, [0, 1, 2, 4, 5, 6, 7]].flip(4))
    torch.testing.assert_close(found[:1, :, :7], alone)
    assert found[0, :, 2:4, :, 1].abs().max() == 0  # frames that exist for the first person only
    empty, frames = PreNormalize3D(NTU25)(torch.zeros_like(x))
    assert empty.abs().max() == 0 and frames.tolist() == [8, 8]


def test_the_first_frame_is_centred_and_its_shoulders_are_along_x() -> None:
    clips = golden_clips(3, 3, 8, 20, 1, seed=1).double() + 3
    x, _ = PreNormalize3D(KINECT20, half=False)(clips)
    assert x[:, :, 0, KINECT20.center].abs().max() == 0
    shoulders = x[:, :, 0, 8, 0] - x[:, :, 0, 4, 0]
    assert shoulders[:, 1:].abs().max() < 1e-12 and (shoulders[:, 0] > 0).all()
    bones = [(y[:, :, :, 7] - y[:, :, :, 6]).norm(dim=1) for y in (x, clips)]
    torch.testing.assert_close(*bones)


@pytest.mark.parametrize("skeleton", [NTU25, COCO17, KINECT20], ids=lambda s: s.name)
@pytest.mark.parametrize("stream", STREAMS)
def test_gradients_are_those_of_exact_arithmetic(skeleton: Skeleton, stream: Any) -> None:
    """Finite differences agree without rounding; with it, the gradient is nearly the same."""
    x = make_batch(n=2, t=6, m=2, skeleton=skeleton).x
    way = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype) * (x != 0)
    front = Front(skeleton, stream=stream, length=9, half=False).eval()

    def along(far: Tensor) -> Tensor:
        found: Tensor = front(x + far * way)
        return found.square().sum()

    far = torch.zeros((), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(along, far, eps=1e-6)
    gradients = []
    for half in (False, True):
        moving = x.clone().requires_grad_()
        front = Front(skeleton, stream=stream, length=9, half=half).eval()
        gradients.append(torch.autograd.grad(front(moving)[:, :2].sum(), moving)[0])
    assert (gradients[1] - gradients[0]).norm() < 0.02 * gradients[0].norm()


def test_rounding_keeps_the_gradient() -> None:
    x = torch.tensor([3.0001, -0.1, 0.0], dtype=torch.float64, requires_grad=True)
    y = rounded(x)
    assert torch.equal(y, x.detach().half().double())
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], torch.ones(3))


def test_samplings_cover_the_clip() -> None:
    assert frame_numbers(32, 100, 4)[:, 0].tolist() == [0, 8, 16, 24]
    assert frame_numbers(3, 10, 10)[:, 0].tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert np.array_equal(frame_numbers(100, 100, 1)[0], np.arange(100))
    for frames in (100, 150, 199, 200, 300):
        numbers = frame_numbers(frames, 100, 3)
        assert (np.diff(numbers, axis=1) > 0).all() and numbers.max() < frames
        assert np.array_equal(numbers[:1], frame_numbers(frames, 100, 1))
    x = torch.arange(12.0).view(1, 1, 12, 1, 1)
    numbers = torch.tensor([[[3, 3, 0], [11, 1, 5]]])
    assert torch.equal(sampled(x, numbers)[0, :, 0, :, 0, 0].long(), numbers[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = numbers_of(torch.tensor([30, 30]), 100, 1, decode=False, training=True)
    assert not torch.equal(drawn[0], drawn[1])


def test_refusals() -> None:
    with pytest.raises(SettingError, match="left_shoulder"):
        PreNormalize3D(Skeleton("stick", ("a", "b", "c"), (0, 0, 1), ((0, 1, 2),), 1))
    Front(Skeleton("stick", ("a", "b", "c"), (0, 0, 1), ((0, 1, 2),), 1), align_spine=False)
    Front(BODY25)
    with pytest.raises(SettingError, match="stream"):
        Front(NTU25, stream="angle")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="stream"):
        Front(NTU25, stream=["joint", "angle"])  # type: ignore[list-item]
    with pytest.raises(SettingError, match="clips"):
        Front(NTU25, clips=0)
