"""HD-GCN, compared with golden numbers of the authors' code, and its parts with their definitions."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from golden_inputs import assert_golden, golden_clips, golden_state

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import KINECT20, NTU25
from skeleton_adv.models.graph import hierarchical_adjacency
from skeleton_adv.models.hdgcn import HDGCN, _Hierarchical, _Nearest, _nearest, level_members
from skeleton_adv.models.layouts import canonical


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    file = Path(__file__).parents[1] / "golden" / "hdgcn_ntu25_com1_t64.json"
    return json.loads(file.read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def small() -> HDGCN:
    torch.manual_seed(0)
    return HDGCN(num_classes=5, width=4).eval()


def test_golden(golden: dict[str, Any]) -> None:
    model = HDGCN()
    assert sum(p.numel() for p in model.parameters()) == golden["params"]
    assert [(k, list(v.shape)) for k, v in model.state_dict().items()] == list(map(tuple, golden["state_dict"].items()))
    assert_golden(model, golden, atol=1e-12)


def test_weights_of_the_authors_hold_second_names(golden: dict[str, Any]) -> None:
    weights = golden_state(golden)
    ((second, first),) = golden["aliases"].items()
    released = weights | {key.replace(first, second): value for key, value in weights.items() if first in key}
    assert len(released) == 3017 and list(canonical(released)) == list(weights)
    HDGCN.from_weights(canonical(released)).load_state_dict(weights)
    with pytest.raises(KeyError, match="PA"):
        HDGCN.from_weights({key: value for key, value in weights.items() if key != "l3.gcn1.PA"})


@pytest.mark.parametrize("center", [1, 2, 21])
def test_weights_give_the_sizes_and_the_center(center: Any) -> None:
    model = HDGCN(num_classes=7, num_persons=1, width=4, center=center)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("PA"):
                weight.add_(0.1 * torch.randn_like(weight))
    again = HDGCN.from_weights(model.state_dict())
    again.load_state_dict(model.state_dict())
    x = golden_clips(2, 3, 4, 25, 1, seed=1)
    torch.testing.assert_close(again.eval()(x), model.eval()(x), rtol=0, atol=0)


def test_settings_out_of_range_are_refused(small: HDGCN) -> None:
    with pytest.raises(SettingError, match="kinect20"):
        HDGCN(KINECT20)
    with pytest.raises(SettingError, match="center=3 is not a choice"):
        HDGCN(center=3)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="multiple of 4"):
        HDGCN(width=6)
    with pytest.raises(SettingError, match="1 persons"):
        small(golden_clips(2, 3, 8, 25, 1, seed=1))


def test_any_number_of_frames_and_clips(small: HDGCN) -> None:
    for frames in (1, 7):
        x = golden_clips(3, 3, frames, 25, 2, seed=1)
        assert small(x).shape == (3, 5)
        torch.testing.assert_close(small(x)[1:2], small(x[1:2]))


def test_levels_are_two_neighbouring_groups() -> None:
    members = level_members(NTU25)
    assert members.sum(dim=1).tolist() == [4, 6, 8, 10, 7, 8]
    diagonal = hierarchical_adjacency(NTU25)[:, 0].diagonal(dim1=1, dim2=2)
    assert torch.equal(members, diagonal)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("attention", [False, True])
def test_levels_are_computed_together_as_one_by_one(training: bool, attention: bool) -> None:
    torch.manual_seed(0)
    members = level_members(NTU25)
    layer = _Hierarchical(4, 8, hierarchical_adjacency(NTU25), members if attention else None).double()
    x = torch.randn(3, 4, 5, 25, dtype=torch.float64)
    for _ in range(2):
        layer(x)  # statistics other than 0 and 1
    layer.train(training)
    torch.nn.init.ones_(layer.bn.weight)
    torch.testing.assert_close(layer(x), one_by_one(layer, members, x))


def one_by_one(layer: Any, members: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    levels = []
    for down, convs, graphs in zip(layer.conv_down, layer.conv, layer.PA, strict=True):
        h = F.relu(down(x))
        found = [conv(torch.einsum("uv,nctv->nctu", graph, h)) for conv, graph in zip(convs, graphs, strict=False)]
        linked = edge_conv(convs[3], h.mean(dim=2), 5)
        levels.append(torch.cat([*found, linked[:, :, None].expand_as(h)], dim=1))
    stacked = torch.stack(levels, dim=2)  # (N, C, L, T, V)
    if hasattr(layer, "aha"):
        reduced = F.relu(layer.aha.conv_down(stacked.amax(dim=3)))
        mean = torch.stack([reduced[:, :, i, members[i] > 0].mean(dim=2) for i in range(6)], dim=2)
        stacked = stacked * layer.aha.aggregate(edge_conv(layer.aha.edge_conv, mean, 3)).sigmoid()[..., None, None]
    return F.relu(layer.bn(stacked.sum(dim=2)) + layer.down(x))


def edge_conv(layer: _Nearest, h: torch.Tensor, count: int) -> torch.Tensor:
    n, c, v = h.shape
    near = torch.cdist(h.mT, h.mT).topk(count, dim=2, largest=False).indices  # (N, V, count)
    own = h[..., None].expand(-1, -1, -1, count)
    other = h[..., None, :].expand(n, c, v, v).gather(3, near[:, None].expand(-1, c, -1, -1))
    return F.leaky_relu(layer.conv(torch.cat([other - own, own], dim=1)), 0.2).amax(dim=3)


def test_neighbours_are_the_closest_in_feature_space() -> None:
    torch.manual_seed(0)
    layer, h = _Nearest(3).double().eval(), torch.randn(2, 3, 7, dtype=torch.float64)
    torch.testing.assert_close(_nearest([layer], h[:, None], 4)[:, 0], edge_conv(layer, h, 4))
