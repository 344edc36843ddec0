"""Features averaged by layer."""

from functools import partial

import torch
from golden_inputs import golden_clips
from torch import Tensor, nn

from skeleton_adv.models.agcn import AGCN, TwoStreamAGCN
from skeleton_adv.models.ctrgcn import CTRGCN
from skeleton_adv.models.deep import deep, joined
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import Network
from skeleton_adv.models.posterior import Appended
from skeleton_adv.models.sgn import SGN
from skeleton_adv.models.skateformer import SkateFormer
from skeleton_adv.models.streams import Fusion


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


def test_channels_may_be_last() -> None:
    x = golden_clips(2, 3, 20, 25, 1, seed=1)
    network = Network(nn.Identity(), SGN(width=4).eval())
    found, layers = deep(network, x), network.features(x)
    assert [stage.shape[1] for stage in found.stages] == [4, 8, 16, 16, 32]
    torch.testing.assert_close(found.stages[3], layers["gcn3"].mean(dim=(1, 2)))
    x = golden_clips(2, 3, 32, 24, 2, seed=1)
    network = Network(nn.Identity(), SkateFormer(width=8, heads=8, length=32).eval())
    found, layers = deep(network, x), network.features(x)
    assert len(found.stages) == 9 and found.stages[2].shape == (2, 16)
    torch.testing.assert_close(found.stages[2], layers["stages.1.blocks.0"].mean(dim=(1, 2)))


def test_streams_are_side_by_side_without_their_logits() -> None:
    x = golden_clips(2, 3, 16, 25, 2, seed=1)
    two = TwoStreamAGCN(width=4)
    three = Fusion(partial(CTRGCN, width=8), streams=("joint", "bone", "joint_motion"), weights=(1, 1, 1))
    for model, prefixes, last in ((two, ("joint", "bone"), "pool"), (three, three.names, "l10")):
        network = Network(nn.Identity(), model.eval())
        found, layers = deep(network, x), network.features(x)
        own = [layers[f"{prefix}.l2"].mean(dim=(1, 3, 4)) for prefix in prefixes]
        torch.testing.assert_close(found.stages[1], torch.cat(own, dim=1))
        own = [layers[f"{prefix}.{last}"] for prefix in prefixes]
        own = [value.mean(dim=(1, 3, 4)) if value.dim() > 2 else value for value in own]
        torch.testing.assert_close(found.stages[-1], torch.cat(own, dim=1))
        behind = Network(nn.Identity(), Appended(model, 2, 60).eval())
        assert all(map(torch.equal, deep(behind, x).stages, found.stages))


def test_a_submodule_named_layers_is_no_declaration() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(4))

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)  # type: ignore[no-any-return]

    found = deep(Network(nn.Identity(), Own()), torch.rand(2, 3, 4, 5, 1))
    assert len(found.stages) == 1 and torch.equal(found.stages[0], found.logits)


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
