"""STTFormer, compared with golden numbers of the authors' code."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from golden_inputs import assert_golden, golden_clips, golden_state
from torch import nn

from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.models.layouts import canonical
from skeleton_adv.models.network import Network, channels_last
from skeleton_adv.models.sttformer import STTFormer, fitted

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "sttformer_ntu25_t120.json").read_text())


def test_golden() -> None:
    """The first clip in float32; ``test_golden_in_float64`` is tighter, but takes half a minute."""
    model = STTFormer().eval()
    assert sum(p.numel() for p in model.parameters()) == GOLDEN["params"]
    assert [(k, list(v.shape)) for k, v in model.state_dict().items()] == list(map(tuple, GOLDEN["state_dict"].items()))
    model.load_state_dict(golden_state(GOLDEN))
    x = golden_clips(*GOLDEN["input"]["args"], GOLDEN["input"]["seed"])[:1].requires_grad_()
    logits = model(x)
    torch.testing.assert_close(logits[0], torch.tensor(GOLDEN["logits"][0]), rtol=0, atol=1e-4)
    loss = F.cross_entropy(logits, torch.tensor(GOLDEN["labels"][:1]))
    (gradient,) = torch.autograd.grad(loss, x)
    norm = gradient[..., 0].norm().item()  # the second person is absent
    assert norm == pytest.approx(GOLDEN["input_gradient"]["norm"][0], rel=1e-3)


@pytest.mark.slow
def test_golden_in_float64() -> None:
    """torch's exp in float32, of which the table of positions consists, differs between CPUs in its last bit.

    One bit of a frequency changes logits by 1e-7 of their size and gradients by 1e-5.
    """
    assert_golden(STTFormer(), GOLDEN, atol=1e-5)


def test_sizes_and_positions_are_read_from_weights() -> None:
    weights = golden_state(GOLDEN)
    table = torch.randn(1, 64, 1, 150, generator=torch.Generator().manual_seed(0))
    stored = weights | {"blocks.0.pes.pe": table.expand(-1, -1, 20, -1)}
    model = STTFormer.from_weights(stored)
    model.load_state_dict(canonical(stored))
    assert torch.equal(model.blocks[0].pes.pe, table)
    assert torch.equal(model.blocks[7].pes.pe, STTFormer().blocks[7].pes.pe)
    small = STTFormer(num_joints=18, num_classes=7, channels=2, tuples=4, heads=2, width=4)
    again = STTFormer.from_weights(small.state_dict())
    again.load_state_dict(small.state_dict())
    del weights["fc.weight"]
    with pytest.raises(KeyError, match="fc"):
        STTFormer.from_weights(weights)
    with pytest.raises(CheckpointError, match="7 joints"):
        STTFormer.from_weights(STTFormer(num_joints=7, tuples=1, width=4).state_dict())


def test_positions_are_sines() -> None:
    """Up to the rounding of phases, which reach 149."""
    table = STTFormer(width=8).blocks[0].pes.pe[0, :, 0].double()
    frequency = 10000.0 ** (-torch.arange(0, 8, 2).double() / 8)
    phase = torch.arange(150) * frequency[:, None]
    torch.testing.assert_close(table[0::2], phase.sin(), rtol=0, atol=2e-5)
    torch.testing.assert_close(table[1::2], phase.cos(), rtol=0, atol=2e-5)


def test_lengths() -> None:
    torch.manual_seed(0)
    model = STTFormer(num_joints=20, num_classes=5, width=4).double().eval()
    assert [fitted(frames) for frames in (1, 32, 36, 120)] == [6, 36, 36, 120]
    with pytest.raises(SettingError, match="36"):
        model(torch.zeros(1, 3, 32, 20, 1))
    with pytest.raises(SettingError, match="120 joints"):
        model(torch.zeros(1, 3, 36, 25, 1))
    x = golden_clips(3, 3, 18, 20, 2, seed=1).double()
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]), rtol=1e-9, atol=0)
    one = golden_clips(1, 3, 36, 20, 1, seed=1).double()
    torch.testing.assert_close(model(one.expand(-1, -1, -1, -1, 2)), model(one), rtol=1e-9, atol=0)


def test_weights_may_be_stored_with_channels_last() -> None:
    torch.manual_seed(0)
    model = STTFormer(num_joints=20, num_classes=5, width=4).double().eval()
    x = golden_clips(2, 3, 36, 20, 1, seed=1).double()
    expected = model(x)
    channels_last(Network(nn.Identity(), model))
    torch.testing.assert_close(model(x), expected, rtol=1e-9, atol=1e-9)
