"""Shift-GCN, compared with golden numbers of the authors' code and of their shift operator."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_inputs import golden_clips, golden_state
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.models.layouts import canonical
from skeleton_adv.models.shiftgcn import Shift, ShiftGCN

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "shiftgcn_ntu25_t64.json").read_text())


def test_sizes_are_read_from_weights() -> None:
    """The tables of indices in the authors' files are constants, which ``canonical`` leaves out."""
    weights = golden_state(GOLDEN)
    tables = {name: torch.zeros(shape, dtype=torch.long) for name, shape in GOLDEN["constant_buffers"].items()}
    ShiftGCN.from_weights(weights | tables).load_state_dict(canonical(weights | tables))
    small = ShiftGCN(num_joints=18, num_classes=7, num_persons=1, channels=2, width=4)
    ShiftGCN.from_weights(small.state_dict()).load_state_dict(small.state_dict())
    del weights["fc.weight"]
    with pytest.raises(KeyError, match="fc"):
        ShiftGCN.from_weights(weights)


def test_lengths() -> None:
    torch.manual_seed(0)
    model = ShiftGCN(num_joints=20, num_classes=5, num_persons=1, width=4).double().eval()
    with pytest.raises(SettingError, match="num_frames=32"):
        model(torch.zeros(1, 3, 30, 20, 1))
    x = golden_clips(3, 3, 12, 20, 1, seed=1).double()
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]), rtol=0, atol=1e-9)


def test_training_and_evaluation_agree() -> None:
    """With the statistics of the batch itself, evaluation computes what training computes."""

    def biased(norm: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        count = inputs[0].numel() / norm.num_features
        norm.running_var *= (count - 1) / count

    torch.manual_seed(0)
    model = ShiftGCN(num_joints=20, num_classes=5, num_persons=2, width=4).double()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = 1.0
            layer.register_forward_hook(biased)
    x = golden_clips(4, 3, 12, 20, 2, seed=1).double()
    torch.testing.assert_close(model(x), model.eval()(x), rtol=0, atol=1e-9)


def shifted(x: np.ndarray, frame: float, joint: float, stride: int) -> np.ndarray:
    """Bilinear reading of one channel (T, V), written with loops."""
    frames, joints = x.shape

    def at(t: int, v: int) -> float:
        return float(x[t, v]) if 0 <= t < frames and 0 <= v < joints else 0.0

    out = np.zeros((frames // stride, joints))
    for h, w in np.ndindex(*out.shape):
        t, v = h * stride + frame + (0.5 if stride == 2 else 0), w + joint
        low, left = int(np.floor(t)), int(np.floor(v))
        a, b = t - low, v - left
        upper = (1 - b) * at(low, left) + b * at(low, left + 1)
        lower = (1 - b) * at(low + 1, left) + b * at(low + 1, left + 1)
        out[h, w] = (1 - a) * upper + a * lower
    return out


def operator(xpos: Tensor, ypos: Tensor, stride: int) -> Shift:
    shift = Shift(len(xpos), stride).double()
    shift.load_state_dict({"xpos": xpos, "ypos": ypos})
    return shift


@pytest.mark.parametrize("stride", [1, 2])
def test_shifts_are_bilinear(stride: int) -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(3, 8, 2, 5, generator=rng).double()
    xpos, ypos = torch.tensor([0.3, -1.6, 0.0]).double(), torch.tensor([-2.25, 5.5, 9.0]).double()
    found = operator(xpos, ypos, stride)(x)
    for channel, clip in np.ndindex(3, 2):
        expected = shifted(x[channel, :, clip].numpy(), float(ypos[channel]), float(xpos[channel]), stride)
        torch.testing.assert_close(found[channel, :, clip], torch.from_numpy(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_shifts_agree_with_the_authors_operator(shared: Path, stride: int) -> None:
    stored = {k: torch.from_numpy(v) for k, v in np.load(shared / "golden" / "shift_op.npz").items()}
    found = operator(stored["xpos"], stored["ypos"], stride)(stored["x"].permute(1, 2, 0, 3).contiguous())
    torch.testing.assert_close(found.permute(2, 0, 1, 3), stored[f"out_stride{stride}"], rtol=0, atol=1e-12)


def test_tiny_shifts_between_joints_are_left_out() -> None:
    x = torch.randn(2, 8, 1, 5, generator=torch.Generator().manual_seed(0)).double()
    ypos = torch.tensor([0.5, -1.5])
    tiny, none = (operator(torch.full((2,), size), ypos, 1) for size in (2e-10, 0.0))
    assert not tiny.sideways and operator(torch.full((2,), 0.1), ypos, 1).sideways
    assert torch.equal(tiny(x), none(x))


def test_gradients_of_shifts_have_only_a_sign() -> None:
    shift = Shift(3)
    x = torch.randn(3, 8, 1, 5, generator=torch.Generator().manual_seed(0))
    shift(x).square().sum().backward()
    assert shift.ypos.grad is not None and shift.xpos.grad is None
    torch.testing.assert_close(shift.ypos.grad.abs(), torch.full((3,), 0.01))
