"""pyskl's networks, compared with golden numbers of its code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from golden_inputs import golden_clips
from torch import nn

from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.core.skeleton import COCO17, KINECT20, NTU25
from skeleton_adv.models.network import Network
from skeleton_adv.models.pyskl.aagcn import AAGCN
from skeleton_adv.models.pyskl.ctrgcn import CTRGCN
from skeleton_adv.models.pyskl.dgstgcn import DGSTGCN
from skeleton_adv.models.pyskl.msg3d import MSG3D
from skeleton_adv.models.pyskl.parts import Recogniser, canonical, log_mean_softmax, skeleton_of
from skeleton_adv.models.pyskl.recogniser import Fused, is_pyskl, recogniser_of, type_of
from skeleton_adv.models.pyskl.sgn import SGN
from skeleton_adv.models.pyskl.stgcn import STGCN
from skeleton_adv.models.pyskl.stgcnpp import STGCNPP

GOLDEN = Path(__file__).parents[1] / "golden"
FILES: dict[str, type[Recogniser]] = {
    "pyskl_stgcn_ntu_t100": STGCN,
    "pyskl_stgcnpp_ntu_t100": STGCNPP,
    "pyskl_aagcn_ntu_t100": AAGCN,
    "pyskl_ctrgcn_ntu_t100": CTRGCN,
    "pyskl_msg3d_ntu_t100": MSG3D,
    "pyskl_dgstgcn_ntu_t100": DGSTGCN,
    "pyskl_sgn_ntu_t30": SGN,
}
every = pytest.mark.parametrize("name", FILES)
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


def golden_of(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return content


def small(build: Callable[..., Recogniser], **more: Any) -> Recogniser:
    torch.manual_seed(0)
    return build(num_classes=5, **SMALL[build], **more).eval()  # type: ignore[index]


@every
def test_weights_with_constant_graphs_build_the_network_that_loads_them(name: str) -> None:
    golden = golden_of(name)
    shapes = golden["state_dict"] | golden.get("constant_buffers", {})
    weights = canonical({key: torch.zeros(shape) for key, shape in shapes.items()})
    assert is_pyskl(weights) and set(weights) == set(golden["state_dict"])
    built = recogniser_of(weights)
    assert type(built) is FILES[name] is type_of(weights)
    built.load_state_dict(weights)
    with pytest.raises(KeyError):
        recogniser_of({key: value for key, value in weights.items() if key != "cls_head.fc_cls.weight"})


@alike
def test_sizes_come_back_from_the_weights_of_another_skeleton(build: type[Recogniser]) -> None:
    network = small(build, skeleton=KINECT20)
    weights = network.state_dict()
    x = golden_clips(2, 3, 12, 20, 2, seed=1)
    again = recogniser_of(weights).eval()
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
    again = recogniser_of(fused.state_dict()).eval()
    again.load_state_dict(fused.state_dict())
    assert isinstance(again, Fused) and torch.equal(again(*inputs), fused(*inputs))
    two = {key: value for key, value in fused.state_dict().items() if "motion" not in key}
    assert recogniser_of(two).weights == (2, 2)
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
    with pytest.raises(CheckpointError, match="7 joints"):
        skeleton_of(7, 3)
    assert (skeleton_of(25, 3), skeleton_of(17, 3)) == (NTU25, COCO17)
