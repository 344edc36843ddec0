"""InfoGCN, compared with golden numbers of the authors' code, and its parts with their definitions."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_inputs import golden_clips, golden_state

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import H36M17, KINECT20, NTU25, OPENPOSE18, Skeleton
from skeleton_adv.models.infogcn import InfoGCN


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    file = Path(__file__).parents[1] / "golden" / "infogcn_ntu25_k8_t64.json"
    return json.loads(file.read_text())  # type: ignore[no-any-return]


def small(skeleton: Skeleton = NTU25, **settings: Any) -> InfoGCN:
    torch.manual_seed(0)
    model = InfoGCN(skeleton, **{"num_classes": 5, "width": 8, "heads": 2, **settings}).eval()
    for name, weight in model.named_parameters():
        if name.endswith("agcn.bn.weight"):  # starts at 1e-6, which would hide the graph
            torch.nn.init.ones_(weight)
    return model


def test_weights_give_the_sizes(golden: dict[str, Any]) -> None:
    weights = golden_state(golden)
    InfoGCN.from_weights(weights).load_state_dict(weights)
    for model in (small(KINECT20, num_persons=1, width=12), small(OPENPOSE18, num_classes=7, heads=1)):
        InfoGCN.from_weights(model.state_dict()).load_state_dict(model.state_dict())
    with pytest.raises(KeyError, match="pos_embedding"):
        InfoGCN.from_weights({key: value for key, value in weights.items() if key != "pos_embedding"})


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(SettingError, match="k=0"):
        InfoGCN(k=0)
    with pytest.raises(SettingError, match="multiple of 4"):
        InfoGCN(width=10)
    with pytest.raises(SettingError, match="1 persons"):
        small(KINECT20)(golden_clips(2, 3, 8, 20, 1, seed=1))


def test_k_chooses_joints_or_bones() -> None:
    x = golden_clips(2, 3, 4, 25, 2, seed=1)
    assert torch.equal(small().relative, torch.eye(25))
    bones = (small(k=1).relative @ x.transpose(3, 2).flatten(3)).view(2, 3, 25, 4, 2).transpose(2, 3)
    torch.testing.assert_close(bones[..., 6, :], x[..., 6, :] - x[..., 5, :])
    torch.testing.assert_close(bones[..., NTU25.center, :], x[..., NTU25.center, :])
    torch.testing.assert_close(bones[..., 21, :], x[..., 21, :] - x[..., 22, :])  # the tip of a hand is on its thumb


@pytest.mark.parametrize("skeleton", [KINECT20, H36M17], ids=lambda s: s.name)
def test_any_number_of_frames_and_clips(skeleton: Skeleton) -> None:
    model = small(skeleton)
    for frames in (1, 7, 16):
        x = golden_clips(3, 3, frames, skeleton.num_joints, 2, seed=1)
        assert model(x).shape == (3, 5)
        torch.testing.assert_close(model(x)[1:2], model(x[1:2]), rtol=1e-4, atol=1e-4)


def test_the_graph_is_an_attention_times_a_topology_by_row() -> None:
    layer: Any = small().get_submodule("l1.agcn")
    torch.nn.init.normal_(layer.shared_topology)
    x = torch.randn(2, 8, 3, 25)
    query, key = layer.attn.to_qk(layer.attn.ln(x.permute(0, 2, 3, 1))).view(2, 3, 25, 2, 2, 1).unbind(3)
    attention = torch.einsum("ntuhd,ntvhd->nthuv", query, key).softmax(dim=-1)
    heads = [
        conv(torch.einsum("ntuv,nctv->nctu", attention[:, :, h] * layer.shared_topology[h], x))
        for h, conv in enumerate(layer.conv_d)
    ]
    torch.testing.assert_close(layer(x), (layer.bn(sum(heads)) + x).relu())


def test_the_latent_vector_is_random_in_training_only() -> None:
    model, x = small(), golden_clips(2, 3, 8, 25, 2, seed=1)
    assert torch.equal(model(x), model(x))
    model.training = True  # without the batch statistics of its layers
    torch.manual_seed(1)
    first, second = model(x), model(x)
    torch.manual_seed(1)
    assert torch.equal(model(x), first) and not torch.allclose(first, second)
