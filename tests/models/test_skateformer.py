"""SkateFormer, compared with golden numbers of the authors' code, and its clips with those of their feeder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_inputs import golden_clips, golden_state
from torch import nn

from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18
from skeleton_adv.models.layouts import canonical
from skeleton_adv.models.network import Network, channels_last
from skeleton_adv.models.skateformer import SkateFormer
from skeleton_adv.models.skateformer_front import PARTS, Partitioned

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "skateformer_ntu24_t64.json").read_text())
# The authors' windows for NW-UCLA: frames and joints of the four kinds.
UCLA = ((8, 4), (8, 5), (8, 4), (8, 5))


def small(**settings: int | bool) -> SkateFormer:
    torch.manual_seed(0)
    return SkateFormer(KINECT20, 5, num_persons=1, length=32, width=8, heads=8, **settings).double().eval()  # type: ignore[arg-type]


def test_sizes_are_read_from_weights() -> None:
    """The tables of relative positions in the authors' files are constants, which ``canonical`` leaves out."""
    weights = golden_state(GOLDEN)
    tables = {name: torch.zeros(shape, dtype=torch.long) for name, shape in GOLDEN["constant_buffers"].items()}
    SkateFormer.from_weights(weights | tables).load_state_dict(canonical(weights | tables))
    model = small()
    again = SkateFormer.from_weights(model.state_dict())
    again.load_state_dict(model.state_dict())
    x = golden_clips(2, 3, 32, 20, 1, seed=1).double()
    torch.testing.assert_close(again.double().eval()(x), model(x), rtol=0, atol=0)
    del weights["head.weight"]
    with pytest.raises(KeyError, match="head"):
        SkateFormer.from_weights(weights)
    with pytest.raises(CheckpointError, match="18 joints"):
        SkateFormer.from_weights(weights | {"joint_person_embedding": torch.zeros(96, 18)})


def test_one_person_of_the_first_kinect() -> None:
    model = SkateFormer(KINECT20, 10, num_persons=1)
    block = model.stages[0].blocks[0].transformer
    assert tuple((a.window.frames, a.window.joints) for a in block.attention) == UCLA
    assert block.mlp.fc1.weight.shape == (96, 96) and block.gconv.shape == (8, 20, 20)


def test_clips_are_independent() -> None:
    model = small()
    x = golden_clips(3, 3, 32, 20, 1, seed=1).double()
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]), rtol=0, atol=1e-9)
    evenly = torch.linspace(-1, 1, 32, dtype=torch.float64).expand(3, -1)
    torch.testing.assert_close(model(x, evenly), model(x), rtol=0, atol=0)
    assert not torch.equal(model(x, evenly / 2), model(x))


@pytest.mark.parametrize("tiled", [True, False])
def test_biases(tiled: bool) -> None:
    """Entry by entry: the distance of frames, or of tokens modulo the 4 frames of a window."""
    model = small(tiled_bias=tiled)
    near, far = model.stages[0].blocks[0].transformer.attention[:2]
    for (r, s), value in np.ndenumerate(near._bias()[0].detach().numpy()):
        offset = r % 4 - s % 4 if tiled else r // 4 - s // 4
        assert value == near.relative_position_bias_table[offset + 3, 0]
    for (r, s), value in np.ndenumerate(far._bias()[0].detach().numpy()):
        assert value == far.relative_position_bias_table[r // 5 - s // 5 + 3, r % 5, s % 5, 0]


def test_windows_are_put_together_again() -> None:
    x = torch.arange(2 * 16 * 20 * 3 * 2 * 3).view(2, 16, 20, 3, 2, 3)
    for attention in small().stages[0].blocks[0].transformer.attention:
        window = attention.window
        parts = window.split(x)
        assert torch.equal(window.join(parts[1]), x[:, :, :, 1].flatten(3))
        number = parts[0, 0, 1, 2, 0, :, 0].div(18, rounding_mode="floor")  # frame * 20 + token, of window (1, 2)
        frames = range(1, 16, 4) if window.far_frames else range(4, 8)
        tokens = range(2, 20, 4) if window.far_joints else range(8, 12)
        assert number.tolist() == [20 * frame + token for frame in frames for token in tokens]


def test_clips_agree_with_the_authors_feeder(shared: Path) -> None:
    stored = np.load(shared / "golden" / "denoised_pipeline.npz")
    x = torch.from_numpy(stored["x"]).view(4, 300, 2, 25, 3).permute(0, 4, 1, 3, 2)
    clips, places = Partitioned(NTU25).eval()(x)
    for clip, place, name in zip(clips, places, stored["names"], strict=True):
        torch.testing.assert_close(clip, torch.from_numpy(stored[f"{name}/skateformer_test_64"]), rtol=0, atol=2e-7)
        assert np.array_equal(place, stored[f"{name}/skateformer_index_t"])


def test_frames_of_cropped_clips() -> None:
    """Frames are numbered by their x coordinate."""
    for frames, expected in ((64, np.arange(64)), (100, np.arange(64) * 100 // 64), (32, np.arange(64) / 2 - 0.25)):
        x = torch.ones(1, 3, frames, 20, 1, dtype=torch.float64)
        x[0, 0] += torch.arange(frames)[:, None, None]
        clip, place = Partitioned(KINECT20)(x)
        expected = torch.from_numpy(expected.clip(0, frames - 1)).double()
        torch.testing.assert_close(clip[0, 0, :, 7, 0], expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(place[0], 2 * expected / frames - 1, rtol=0, atol=1e-12)


def test_parts_are_all_joints_once() -> None:
    for skeleton, left_out in ((NTU25, {"spine"}), (KINECT20, set())):
        parts = PARTS[skeleton.name]
        assert {skeleton.joints[joint] for joint in parts.joints} == {*skeleton.joints} - left_out
        assert len(parts.joints) % parts.size == len(parts.joints) % parts.near == 0
    names = [KINECT20.joints[joint].partition("_")[0] for joint in PARTS["kinect20"].joints[:16]]
    assert names == ["right"] * 4 + ["left"] * 4 + ["right"] * 4 + ["left"] * 4


def test_gradients_reach_the_clips() -> None:
    x = golden_clips(2, 3, 20, 20, 1, seed=1).double()
    network = Network(Partitioned(KINECT20, length=32), small()).double().eval()
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(network(x.requires_grad_()).square().sum(), x)
    with torch.no_grad():
        ends = [network(x + sign * 1e-5 * direction).square().sum() for sign in (1, -1)]
    torch.testing.assert_close((gradient * direction).sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-12)


def test_refusals() -> None:
    with pytest.raises(SettingError, match="openpose18"):
        Partitioned(OPENPOSE18)
    with pytest.raises(SettingError, match="openpose18"):
        SkateFormer(OPENPOSE18)
    with pytest.raises(SettingError, match="heads=12"):
        SkateFormer(heads=12)
    with pytest.raises(SettingError, match="32 frames of 20"):
        small()(torch.zeros(1, 3, 64, 20, 1))


def test_weights_may_be_stored_with_channels_last() -> None:
    torch.manual_seed(0)
    model = small().double().eval()
    x = golden_clips(2, 3, 32, 20, 1, seed=1).double()
    expected = model(x)
    channels_last(Network(nn.Identity(), model))
    torch.testing.assert_close(model(x), expected, rtol=1e-9, atol=1e-9)
