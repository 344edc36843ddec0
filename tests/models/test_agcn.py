"""2s-AGCN, compared with golden numbers of the authors' code, and its graph with their list of links."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from golden_inputs import assert_golden, golden_clips
from torch import nn

from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18, Skeleton
from skeleton_adv.models.agcn import AGCN, BoneAGCN, Bones, TwoStreamAGCN
from skeleton_adv.models.graph import bone_links, inward_links, spatial_adjacency
from skeleton_adv.models.network import Network
from skeleton_adv.train.losses import stream_cross_entropy

GOLDEN = Path(__file__).parents[1] / "golden"
# The authors' list, counted from 1.
NTU_LINKS = (
    *((1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9), (11, 10), (12, 11)),
    *((13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19)),
    *((22, 23), (23, 8), (24, 25), (25, 12)),
)
# Counted from 0, in the authors' order.
KINETICS_LINKS = (
    *((4, 3), (3, 2), (7, 6), (6, 5), (13, 12), (12, 11), (10, 9), (9, 8), (11, 5), (8, 2)),
    *((5, 1), (2, 1), (0, 1), (15, 0), (14, 0), (17, 15), (16, 14)),
)
# Their bones start at the nose instead of the neck.
KINETICS_BONES = (*(link for link in KINETICS_LINKS if link != (0, 1)), (1, 0))


def test_golden() -> None:
    golden = json.loads((GOLDEN / "agcn_ntu_t64.json").read_text())
    model = AGCN()
    assert sum(p.numel() for p in model.parameters()) == golden["params"]
    assert [(k, list(v.shape)) for k, v in model.state_dict().items()] == list(map(tuple, golden["state_dict"].items()))
    assert_golden(model, golden)


def test_links_agree_with_the_authors() -> None:
    assert inward_links(NTU25) == tuple(sorted((a - 1, b - 1) for a, b in NTU_LINKS))
    assert inward_links(OPENPOSE18) == tuple(sorted(KINETICS_LINKS))
    assert bone_links(OPENPOSE18) == tuple(sorted(KINETICS_BONES)) and bone_links(NTU25) == inward_links(NTU25)


@pytest.mark.parametrize("skeleton", [NTU25, KINECT20, OPENPOSE18], ids=lambda s: s.name)
def test_columns_sum_to_one_or_nothing(skeleton: Skeleton) -> None:
    adjacency = spatial_adjacency(skeleton)
    links = inward_links(skeleton)
    assert len(links) == skeleton.num_joints - 1
    sums = adjacency.sum(dim=1)
    assert torch.isin(sums, torch.tensor([0.0, 1.0])).all()
    assert [int((row == 1).sum()) for row in sums[:2]] == [skeleton.num_joints, skeleton.num_joints - 1]
    assert torch.equal(adjacency[2] > 0, (adjacency[1] > 0).T)


def test_bones_are_invariant_to_translation_and_streams_are_added() -> None:
    x = golden_clips(2, 3, 16, 25, 2, seed=1)
    bones = Bones(NTU25)
    torch.testing.assert_close(bones(x + 3.0), bones(x), rtol=0, atol=1e-5)
    torch.testing.assert_close(bones(x)[:, :, :, 7], x[:, :, :, 7] - x[:, :, :, 6])
    assert bones(x)[:, :, :, 20].abs().max() == 0
    torch.manual_seed(0)
    both = TwoStreamAGCN(num_classes=7).eval()
    torch.testing.assert_close(both(x), both.joint(x) + both.bone(bones(x)))
    assert len(both.state_dict()) == 2 * 352


def test_a_stream_alone_is_the_part_of_both() -> None:
    torch.manual_seed(0)
    both = TwoStreamAGCN(KINECT20, num_classes=5, num_persons=1, width=8).eval()
    alone = BoneAGCN(KINECT20, num_classes=5, num_persons=1, width=8).eval()
    alone.load_state_dict(both.bone.state_dict())
    x = golden_clips(2, 3, 16, 20, 1, seed=1)
    torch.testing.assert_close(alone(x), both.streams(x)[1], rtol=0, atol=0)


def test_streams_are_trained_separately() -> None:
    """For each stream, the gradient of the training loss is that of the stream's own cross-entropy."""
    torch.manual_seed(0)
    network = Network(nn.Identity(), TwoStreamAGCN(KINECT20, num_classes=5, num_persons=1, width=8)).eval()
    x, y = golden_clips(3, 3, 16, 20, 1, seed=1), torch.tensor([0, 3, 4])
    loss = stream_cross_entropy(network, x, y)
    joint, bone = network.streams(x)
    apart = torch.autograd.grad(F.cross_entropy(bone, y), list(network.model.bone.parameters()))
    together = torch.autograd.grad(loss, list(network.model.bone.parameters()))
    assert loss.item() == pytest.approx((F.cross_entropy(joint, y) + F.cross_entropy(bone, y)).item())
    assert all(torch.equal(a, b) for a, b in zip(apart, together, strict=True))
