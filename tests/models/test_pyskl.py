"""What pyskl's networks share: sizes, samplings and the fusion of streams."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from golden_inputs import golden_clips
from torch import nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.models.checkpoint import load_checkpoint
from skeleton_adv.models.network import Network
from skeleton_adv.models.pyskl.aagcn import AAGCN
from skeleton_adv.models.pyskl.ctrgcn import CTRGCN
from skeleton_adv.models.pyskl.dgstgcn import DGSTGCN
from skeleton_adv.models.pyskl.fused import Fused
from skeleton_adv.models.pyskl.msg3d import MSG3D
from skeleton_adv.models.pyskl.parts import Recogniser, log_mean_softmax
from skeleton_adv.models.pyskl.sgn import SGN
from skeleton_adv.models.pyskl.stgcn import STGCN
from skeleton_adv.models.pyskl.stgcnpp import STGCNPP

SMALL: dict[type[Recogniser], dict[str, Any]] = {
    STGCN: {"width": 4},
    STGCNPP: {"width": 8},
    AAGCN: {"width": 4},
    CTRGCN: {"width": 4},
    MSG3D: {"width": 6, "scales": 4, "window_scales": 3},
    DGSTGCN: {"width": 8},
    SGN: {"width": 4, "length": 12},
}
alike = pytest.mark.parametrize("build", SMALL, ids=lambda build: build.__name__)


def small(build: Callable[..., Recogniser], **more: Any) -> Recogniser:
    torch.manual_seed(0)
    return build(num_classes=5, **SMALL[build], **more).eval()  # type: ignore[index]


@alike
def test_sizes_come_back_from_the_weights_of_another_skeleton(build: type[Recogniser]) -> None:
    network = small(build, skeleton=KINECT20)
    weights = network.state_dict()
    x = golden_clips(2, 3, 12, 20, 2, seed=1)
    again = build.from_weights(weights).eval()
    again.load_state_dict(weights)
    assert torch.equal(again(x), network(x)) and network(x).shape == (2, 5)


@alike
def test_several_samplings_are_the_log_of_their_mean_softmax(build: type[Recogniser]) -> None:
    network = small(build).double()
    x = golden_clips(6, 3, 12, 25, 2, seed=1).double()
    expected = F.softmax(network(x), dim=1).view(2, 3, 5).mean(dim=1).log()
    torch.testing.assert_close(network(x.view(2, 3, *x.shape[1:])), expected, rtol=0, atol=1e-12)


def test_a_fusion_adds_probabilities_and_comes_back_from_its_weights() -> None:
    torch.manual_seed(0)
    fused = Fused(lambda num_classes: STGCNPP(num_classes=num_classes, width=8), num_classes=5).eval()
    inputs = [golden_clips(2, 3, 12, 25, 2, seed=seed) for seed in range(4)]
    shares = zip((2, 2, 1, 1), fused.streams(*inputs), strict=True)
    expected = torch.stack([share / 6 * F.softmax(logits, dim=1) for share, logits in shares]).sum(dim=0).log()
    torch.testing.assert_close(fused(*inputs), expected)
    assert Network(nn.Identity(), fused).log_probabilities and not Network(nn.Identity(), fused.joint).log_probabilities
    again = load_checkpoint(fused.state_dict())
    assert isinstance(again, Fused) and torch.equal(again(*inputs), fused(*inputs))
    two = {key: value for key, value in fused.state_dict().items() if "motion" not in key}
    assert load_checkpoint(two).weights == (2, 2)
    assert list(again.layers)[-1] == "logits" and len(again.layers) == 4 * 12 + 1


def test_one_softmax_stays_itself() -> None:
    logits = torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.float64)
    torch.testing.assert_close(log_mean_softmax([logits]), F.log_softmax(logits, dim=1))
    mean = log_mean_softmax([logits, -logits], (3, 1)).exp()
    torch.testing.assert_close(mean, 0.75 * logits.softmax(dim=1) + 0.25 * (-logits).softmax(dim=1))


def test_refusals() -> None:
    with pytest.raises(SettingError, match="width"):
        STGCNPP(width=5)
    with pytest.raises(SettingError, match="width"):
        DGSTGCN(width=12)
    with pytest.raises(SettingError, match="length=12"):
        small(SGN)(golden_clips(1, 3, 10, 25, 2, seed=0))
    with pytest.raises(SettingError, match="persons"):
        small(AAGCN)(golden_clips(1, 3, 10, 25, 1, seed=0))
    with pytest.raises(SettingError, match="weights"):
        Fused(STGCNPP, weights=(1, 1))
    with pytest.raises(SettingError, match=r"preprocess\.stream"):
        Fused(lambda: small(STGCNPP))(golden_clips(1, 3, 10, 25, 2, seed=0))
