"""Streams and their fusion, against their definitions."""

from functools import partial

import pytest
import torch
from golden_inputs import golden_clips

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import KINECT20, NTU25
from skeleton_adv.models.checkpoint import load_checkpoint
from skeleton_adv.models.ctrgcn import CTRGCN
from skeleton_adv.models.streams import STREAMS, Fusion, StreamOf

narrow = partial(CTRGCN, width=4)


def test_streams_are_bones_and_differences_between_frames() -> None:
    x = golden_clips(2, 3, 6, 25, 2, seed=1)
    made = {name: StreamOf(NTU25, name)(x) for name in STREAMS}
    assert torch.equal(made["joint"], x)
    torch.testing.assert_close(made["bone"][:, :, :, 7], x[:, :, :, 7] - x[:, :, :, 6])
    assert made["bone"][:, :, :, 20].abs().max() == 0  # the root of NTU's published graph
    for name in ("joint", "bone"):
        motion = made[f"{name}_motion"]
        assert torch.equal(motion[:, :, 2], made[name][:, :, 3] - made[name][:, :, 2])
        assert motion[:, :, -1].abs().max() == 0 and motion.shape == x.shape


def test_a_fusion_is_the_weighted_sum_of_networks_on_their_streams() -> None:
    torch.manual_seed(0)
    fusion = Fusion(narrow, KINECT20, 5, 1, 3, 16, streams=["joint", "bone_motion"], weights=[0.6, 0.4]).eval()
    x = golden_clips(2, 3, 16, 20, 1, seed=1).requires_grad_()
    expected = 0.6 * fusion.joint(x) + 0.4 * fusion.bone_motion(StreamOf(KINECT20, "bone_motion")(x))
    torch.testing.assert_close(fusion(x), expected)
    ours, theirs = (torch.autograd.grad(logits[:, 0].sum(), x)[0] for logits in (fusion(x), expected))
    torch.testing.assert_close(ours, theirs)
    assert list(fusion.layers)[-1] == "logits" and "bone_motion.l5" in fusion.layers


def test_weights_of_several_streams_become_one_network() -> None:
    torch.manual_seed(0)
    fusion = Fusion(narrow, NTU25, 5, 2, 3, 16, streams=["joint", "bone"], weights=[1.0, 1.0]).eval()
    x = golden_clips(2, 3, 16, 25, 2, seed=1)
    assert torch.equal(load_checkpoint(fusion.state_dict())(x), fusion(x))


@pytest.mark.parametrize(("streams", "weights"), [(["joint"], [1.0, 1.0]), (["bone", "bone"], [1.0, 1.0]), ([], [])])
def test_streams_without_their_weights_are_refused(streams: list[str], weights: list[float]) -> None:
    with pytest.raises(SettingError, match="one weight per stream"):
        Fusion(narrow, KINECT20, 5, 1, 3, 16, streams=streams, weights=weights)


def test_an_unknown_stream_is_refused() -> None:
    with pytest.raises(SettingError, match="bones"):
        Fusion(narrow, KINECT20, 5, 1, 3, 16, streams=["joint", "bones"], weights=[1.0, 1.0])
