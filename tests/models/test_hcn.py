"""HCN, compared with golden numbers of the public implementations."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from golden_inputs import assert_golden, golden_clips

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import NTU25
from skeleton_adv.models.checkpoint import load_checkpoint
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.preprocess import CenterPerFrame

GOLDEN = Path(__file__).parents[1] / "golden"
# The authors' later code has other names for the same layers.
SKELACT = {
    **{f"backbone.net_{branch}.{place}": f"conv{n}{'m' * (branch == 'm')}" for branch in "lm"
       for place, n in ((0, "1"), (2, "2"), (4, "3"), (6, "4"))},
    "cls_head.fc": "fc8",
}  # fmt: skip
PLAIN = ("conv2", "conv2m", "fc8")


def from_skelact(key: str) -> str:
    layer, _, last = key.rpartition(".")
    layer = SKELACT.get(layer, layer.removeprefix("backbone."))
    return f"{layer}.{last}" if layer in PLAIN or layer.endswith(".0") else f"{layer}.0.{last}"


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("hcn_ntu_t32", {"num_frames": 32}),
        ("hcn_ntu_t32_fc256", {"num_frames": 32, "fc7": 256}),
        ("hcn_ntu_t64", {"num_frames": 64}),
        ("skelact_hcn_ntu_t32", {"num_frames": 32, "fc7": 256, "conv2": 32, "motion": "zero_first"}),
    ],
)
def test_golden(name: str, settings: dict[str, Any]) -> None:
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    model = HCN(**settings)
    if not name.startswith("skelact"):
        assert list(model.state_dict()) == list(golden["state_dict"])
    assert_golden(model, golden, from_skelact if name.startswith("skelact") else str)


def test_order_of_persons_does_not_matter() -> None:
    model = HCN(num_frames=16, fc7=32).eval()
    x = golden_clips(2, 3, 16, 25, 2, seed=3)
    torch.testing.assert_close(model(x), model(x.flip(-1)))


def test_frames_must_survive_four_halvings() -> None:
    with pytest.raises(SettingError, match="num_frames=40"):
        HCN(num_frames=40)


def test_centring_is_invariant_to_translation_and_puts_the_spine_at_0() -> None:
    center = CenterPerFrame(NTU25)
    x = golden_clips(3, 3, 5, 25, 2, seed=1).double()
    shift = torch.randn(3, 3, 5, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(center(x + shift), center(x))
    assert center(x)[:, :, :, NTU25.center, 0].abs().max() == 0
    torch.testing.assert_close(center(x)[0, :, :, 3, 1], -x[0, :, :, 1, 0])  # an absent person is at minus the origin


def test_motion_of_hcn_prototype_is_resized_to_the_nearest_frame() -> None:
    """HCN-PrototypeLoss-PyTorch: the same weights under other names, and another resize of the motion."""
    model = HCN(num_frames=32, num_classes=5, motion="nearest").eval()
    names = {"conv1": "base.0", "conv2": "base.2", "conv3": "center.0", "conv4": "center.2"}
    theirs = {"conv5.0": "conv_cooccurrence.0", "conv6.0": "conv_cooccurrence.4", "fc7.0": "classifier.0"}
    theirs |= {"fc8": "classifier.3"} | {
        f"{layer}{suffix}{'' if layer == 'conv2' else '.0'}": f"conv_{branch}.conv_block_{place}"
        for branch, suffix in (("position", ""), ("motion", "m"))
        for layer, place in names.items()
    }
    renamed = {f"{theirs[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": v for key, v in model.state_dict().items()}
    found = load_checkpoint(renamed)
    x = golden_clips(2, 3, 32, 25, 2, seed=1)
    assert found.layout == "HCN (HCN-PrototypeLoss-PyTorch)" and torch.equal(found(x), model(x))
    persons = x.permute(0, 4, 1, 2, 3).flatten(0, 1)
    expected = F.interpolate(persons[:, :, 1:] - persons[:, :, :-1], size=(32, 25))
    torch.testing.assert_close(model._difference(persons), expected, rtol=0, atol=0)
