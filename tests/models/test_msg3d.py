"""MS-G3D, compared with golden numbers of the authors' code, and its parts with their definitions."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_inputs import golden_clips, golden_state

from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18, Skeleton
from skeleton_adv.models.graph import binary_adjacency, k_adjacency, symmetric, window_links
from skeleton_adv.models.msg3d import MSG3D, MultiScaleGraph, WindowGraph, default_scales


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    file = Path(__file__).parents[1] / "golden" / "msg3d_ntu25_t64.json"
    return json.loads(file.read_text())  # type: ignore[no-any-return]


def small(skeleton: Skeleton = NTU25, **settings: Any) -> MSG3D:
    torch.manual_seed(0)
    return MSG3D(skeleton, **{"num_classes": 5, "width": 6, "scales": 3, "window_scales": 2, **settings}).eval()


def test_kinetics_has_the_authors_number_of_parameters() -> None:
    assert sum(p.numel() for p in MSG3D(OPENPOSE18, num_classes=400).parameters()) == 3_144_328
    assert (default_scales(NTU25), default_scales(OPENPOSE18)) == (13, 8)


def test_weights_give_the_sizes(golden: dict[str, Any]) -> None:
    weights = golden_state(golden)
    MSG3D.from_weights(weights).load_state_dict(weights)
    for model in (small(KINECT20, num_persons=1, width=12), small(OPENPOSE18, num_classes=7)):
        MSG3D.from_weights(model.state_dict()).load_state_dict(model.state_dict())
    with pytest.raises(KeyError, match="data_bn"):
        MSG3D.from_weights({key: value for key, value in weights.items() if key != "data_bn.weight"})
    weights["sgcn1.0.A_res"] = torch.zeros(13 * 24, 24)
    with pytest.raises(CheckpointError, match="24 joints"):
        MSG3D.from_weights(weights)


def test_width_is_divided_among_six_branches() -> None:
    with pytest.raises(SettingError, match="multiple of 6"):
        MSG3D(width=16)
    with pytest.raises(SettingError, match="width=3 is out of range"):
        MSG3D(width=3)


@pytest.mark.parametrize("frames", [1, 7, 16])
def test_any_number_of_frames_and_clips(frames: int) -> None:
    model, x = small(KINECT20), golden_clips(3, 3, frames, 20, 2, seed=1)
    assert model(x).shape == (3, 5)
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]))


def test_other_persons_than_those_of_the_weights_are_refused() -> None:
    with pytest.raises(SettingError, match="1 persons"):
        small(KINECT20)(golden_clips(2, 3, 8, 20, 1, seed=1))


def test_a_graph_convolution_sums_over_scales_and_joints_by_row() -> None:
    adjacency = torch.rand(3, 4, 4)
    layer, x = MultiScaleGraph(2, 5, adjacency).eval(), torch.randn(2, 2, 6, 4)
    conv, norm = layer.mlp.get_submodule("layers.0"), layer.mlp.get_submodule("layers.1")
    graph = adjacency + layer.A_res.view(3, 4, 4)
    weight, bias = conv.get_parameter("weight").view(5, 3, 2), conv.get_parameter("bias")
    mixed = torch.einsum("okc,kuv,nctv->notu", weight, graph, x) + bias[:, None, None]
    torch.testing.assert_close(layer(x), norm(mixed).relu())


def test_a_window_sees_its_neighbours_and_zeros_outside_the_clip() -> None:
    torch.manual_seed(0)
    links = window_links(binary_adjacency(NTU25), 5)
    layer = WindowGraph(3, 6, 4, 2, symmetric(k_adjacency(links, 2)), 25, MultiScaleGraph).eval()
    x = golden_clips(1, 3, 12, 25, 1, seed=2)[..., 0].requires_grad_()
    y = layer(x)
    assert y.shape == (1, 4, 6, 25)
    for frame in range(6):  # of the output: the centre of its window is 2 * frame
        (seen,) = torch.autograd.grad(y[0, :, frame].square().sum(), x, retain_graph=True)
        assert seen[0].abs().sum(dim=(0, 2)).nonzero().flatten().tolist() == [
            t for t in range(2 * frame - 2, 2 * frame + 3) if 0 <= t < 12
        ]
    longer = torch.cat([x, torch.zeros(1, 3, 4, 25)], dim=2)
    torch.testing.assert_close(layer(longer)[:, :, :6], y)
