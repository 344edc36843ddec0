"""The names of layers as literals, because methods and results refer to them."""

from dataclasses import replace

import pytest
import torch
from golden_inputs import golden_clips
from torch import nn

from skeleton_adv.core.skeleton import NTU25
from skeleton_adv.models.agcn import AGCN, BoneAGCN, TwoStreamAGCN
from skeleton_adv.models.graph import inward_links, spatial_adjacency
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import Network

UNITS = [f"l{number}" for number in range(1, 11)]
STREAM = [*UNITS, "pool", "fc"]
HCN_LAYERS = [
    "conv1",
    "conv2",
    "conv3",
    "conv4",
    "conv1m",
    "conv2m",
    "conv3m",
    "conv4m",
    "conv5",
    "conv6",
    "fc7",
    "fc8",
]
NAMES = [
    (HCN(num_frames=16, fc7=16), HCN_LAYERS),
    (AGCN(width=4), STREAM),
    (BoneAGCN(width=4), STREAM),
    (TwoStreamAGCN(width=4), [*(f"{stream}.{name}" for stream in ("joint", "bone") for name in STREAM), "logits"]),
]


@pytest.mark.parametrize(("model", "names"), NAMES, ids=lambda value: type(value).__name__)
def test_names_of_layers(model: nn.Module, names: list[str]) -> None:
    found = Network(nn.Identity(), model.eval()).features(golden_clips(2, 3, 16, 25, 2, seed=1))
    assert list(found) == names


def test_features_are_the_outputs_of_their_layers() -> None:
    """HCN's classifier applied to fc7 gives the logits; 2s-AGCN's pool is the mean over frames, joints and persons."""
    x = golden_clips(2, 3, 16, 25, 2, seed=1)
    hcn = HCN(num_frames=16, fc7=16).eval()
    found = Network(nn.Identity(), hcn).features(x)
    assert torch.equal(hcn.fc8(found["fc7"]), found["fc8"]) and found["conv6"].shape == (2, 2, 256, 1, 1)
    fused = found["conv6"].amax(dim=1).flatten(1)
    assert torch.equal(hcn.fc7(fused), found["fc7"])
    agcn = Network(nn.Identity(), AGCN(width=4).eval()).features(x)
    torch.testing.assert_close(agcn["l10"].mean(dim=(1, 3, 4)), agcn["pool"])
    both = Network(nn.Identity(), TwoStreamAGCN(width=4).eval()).features(x)
    assert torch.equal(both["joint.fc"] + both["bone.fc"], both["logits"])


def test_hooks_are_removed_after_a_pass_that_fails() -> None:
    network = Network(nn.Identity(), HCN(num_frames=16, fc7=16).eval())
    with pytest.raises(RuntimeError):
        network.features(torch.zeros(2, 3, 16, 7, 2))
    assert not [module for module in network.modules() if module._forward_hooks]


def test_an_unlisted_skeleton_has_a_graph() -> None:
    """Its centre is the joint that victims centre on, and its links are those of its tree."""
    mine = replace(NTU25, name="mine", center=7)
    assert {frozenset(link) for link in inward_links(mine)} == {frozenset(bone) for bone in NTU25.bones}
    assert 7 not in dict(inward_links(mine)) and spatial_adjacency(mine).shape == (3, 25, 25)
