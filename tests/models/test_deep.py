"""Features averaged by layer."""

import torch
from golden_inputs import golden_clips
from torch import nn

from skeleton_adv.models.agcn import AGCN
from skeleton_adv.models.deep import deep, joined
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import Network


def test_stages_are_means_over_frames_joints_and_persons() -> None:
    x = golden_clips(2, 3, 16, 25, 2, seed=1)
    network = Network(nn.Identity(), AGCN(width=4).eval())
    found, layers = deep(network, x), network.features(x)
    assert len(found.stages) == 11 and torch.equal(found.logits, layers["fc"])
    torch.testing.assert_close(found.stages[9], layers["pool"])
    assert torch.equal(found.stages[10], layers["pool"])


def test_the_streams_of_hcn_are_side_by_side() -> None:
    x = golden_clips(2, 3, 16, 25, 2, seed=1)
    network = Network(nn.Identity(), HCN(num_frames=16, fc7=16).eval())
    found, layers = deep(network, x), network.features(x)
    assert [stage.shape[1] for stage in found.stages] == [128, 32, 64, 128, 128, 256, 16]
    expected = torch.cat([layers[name].mean(dim=(1, 3, 4)) for name in ("conv4", "conv4m")], dim=1)
    torch.testing.assert_close(found.stages[3], expected)
    assert torch.equal(found.stages[6], layers["fc7"])


def test_a_model_without_layers_has_its_logits_as_its_stage() -> None:
    network = Network(nn.Identity(), nn.Sequential(nn.Flatten(), nn.LazyLinear(4)))
    found = deep(network, torch.rand(2, 3, 4, 5, 1))
    assert len(found.stages) == 1 and torch.equal(found.stages[0], found.logits)


def test_clips_can_be_taken_and_joined_and_predictions_are_finite() -> None:
    network = Network(nn.Identity(), nn.Sequential(nn.Flatten(), nn.LazyLinear(4)))
    x = torch.rand(3, 3, 4, 5, 1)
    x[1, 0, 0, 0, 0] = torch.nan
    found = deep(network, x)
    assert found.predicted[1] == -1 and (found.predicted[[0, 2]] >= 0).all()
    both = joined([found.take(torch.tensor([0])), found.take(found.predicted >= 0)])
    assert torch.equal(both.logits, found.logits[[0, 0, 2]]) and len(both) == 3
