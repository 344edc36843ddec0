"""A victim is frozen, counts its passes, and loads only weights that fit."""

from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import make_batch
from torch import nn

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.files import digest
from skeleton_adv.data.synthetic.dataset import SyntheticMotion
from skeleton_adv.defenses import none
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.preprocess import CenterPerFrame
from skeleton_adv.models.victim import Victim
from skeleton_adv.models.weights import load_weights, save_weights

DATA = SyntheticMotion(num_frames=16, num_actions=5)


def network(**settings: int) -> Network:
    return build_network(partial(HCN, fc7=16, **settings), CenterPerFrame, DATA)


def test_facts_of_the_dataset_reach_the_constructors() -> None:
    net = network()
    assert isinstance(net.model, HCN) and net.model.num_frames == 16
    assert net(make_batch(n=2, t=16, dtype=torch.float32).x).shape == (2, 5)


def test_queries_are_counted_and_weights_stay() -> None:
    batch = make_batch(n=2, t=16, dtype=torch.float32)
    victim = Victim(network().train(), none, "cpu")
    view = victim.view(batch, "attack", seed=0)
    x = batch.x.clone().requires_grad_()
    torch.autograd.grad(view(x).sum(), x)
    view(batch.x)
    assert (view.forwards, view.gradients) == (2, 1)
    assert not any(p.requires_grad for p in victim.module.parameters())
    assert torch.equal(view(batch.x), view(batch.x))  # no dropout: the victim is in evaluation mode


@pytest.mark.parametrize("half", [False, True])
def test_weights_come_back(tmp_path: Path, half: bool) -> None:
    batch = make_batch(n=2, t=16, dtype=torch.float32)
    first, second = network().eval(), network().eval()
    save_weights(first, tmp_path / "a.safetensors", {"test_accuracy": 0.5}, half=half)
    about = load_weights(second, tmp_path / "a.safetensors")
    assert about == {"test_accuracy": 0.5, "weights": digest(tmp_path / "a.safetensors")}
    same = torch.allclose(first(batch.x), second(batch.x), rtol=0, atol=1e-2 if half else 0)
    assert same and all(weight.dtype == torch.float32 for weight in second.parameters())
    assert not list(tmp_path.glob("*.part"))


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    save_weights(network(), tmp_path / "a.safetensors", {})
    other = build_network(partial(HCN, fc7=32), CenterPerFrame, DATA)
    with pytest.raises(CheckpointError, match=r"fc7\.0\.bias \(16 in the file, 32 in the model\)"):
        load_weights(other, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"conv1\.0\.bias \(64 in the file, absent in the model\)"):
        load_weights(Network(nn.Identity(), nn.Linear(2, 2)), tmp_path / "a.safetensors")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"a\.safetensors is not a readable"):
        load_weights(network(), tmp_path / "a.safetensors")
