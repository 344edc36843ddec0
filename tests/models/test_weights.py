"""Weights on disk are whole and finite and agree with their JSON; a recogniser is loaded from a file name."""

import json
import math
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import binomtest
from torch import nn

import skeleton_adv.models
from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.files import digest
from skeleton_adv.data.clips import hashed_order, load_batch
from skeleton_adv.data.store import Generated, prepare
from skeleton_adv.data.synthetic.dataset import SyntheticMotion
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.models import load_checkpoint, load_victim
from skeleton_adv.models.agcn import TwoStreamAGCN
from skeleton_adv.models.checkpoint import load_victim_and_dataset
from skeleton_adv.models.ctrgcn import CTRGCN
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.preprocess import CenterPerFrame, PreNormalize
from skeleton_adv.models.weights import load_weights, save_weights

DATA = SyntheticMotion(num_frames=16, num_actions=5)
SHIPPED = Path(__file__).parents[2] / "outputs" / "checkpoints"
FILES = sorted(SHIPPED.rglob("*.safetensors"))
VICTIMS = [path for path in FILES if '"test_clips"' in path.with_suffix(".json").read_text()]  # not a user's detectors
shipped = pytest.mark.parametrize("path", VICTIMS, ids=lambda path: f"{path.parent.name}/{path.stem}")


def network() -> Network:
    return build_network(partial(HCN, fc7=16), CenterPerFrame, DATA)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["conv2.weight", "fc8.bias"])
def test_weights_that_are_not_finite_are_named(tmp_path: Path, value: float, key: str) -> None:
    net, path = network(), tmp_path / "a.safetensors"
    with torch.no_grad():
        net.model.get_parameter(key)[3] = value
    save_weights(net, path, {})
    for load in (lambda: load_weights(network(), path), lambda: load_checkpoint(path)):
        with pytest.raises(CheckpointError) as caught:
            load()
        message = str(caught.value)
        assert str(path) in message and key in message and "not finite" in message and "\n" not in message


def test_a_running_mean_that_is_not_finite_is_named(tmp_path: Path) -> None:
    net = build_network(partial(TwoStreamAGCN, width=4), PreNormalize, DATA)
    net.model.get_buffer("bone.data_bn.running_var")[0] = torch.inf
    save_weights(net, tmp_path / "a.safetensors", {})
    with pytest.raises(CheckpointError, match=r"bone\.data_bn\.running_var"):
        load_weights(net, tmp_path / "a.safetensors")


@pytest.mark.parametrize("half", [False, True])
def test_the_json_contains_the_digest_of_the_weights(tmp_path: Path, half: bool) -> None:
    path = tmp_path / "deep" / "a.safetensors"
    save_weights(network(), path, {"test_accuracy": 0.5}, half=half)
    assert json.loads(path.with_suffix(".json").read_text()) == {"test_accuracy": 0.5, "weights": digest(path)}
    assert sorted(file.name for file in path.parent.iterdir()) == ["a.json", "a.safetensors"]


def test_weights_beyond_float16_are_stored_as_they_are(tmp_path: Path) -> None:
    """The running variances of STTFormer exceed 65,504."""
    net, other = (build_network(partial(TwoStreamAGCN, width=4), PreNormalize, DATA) for _ in range(2))
    name = "bone.data_bn.running_var"
    net.model.get_buffer(name)[0] = 1e5
    save_weights(net, tmp_path / "a.safetensors", {}, half=True)
    load_weights(other, tmp_path / "a.safetensors")
    for key, value in net.model.state_dict().items():
        exact = key == name or not value.is_floating_point()
        assert torch.equal(other.model.state_dict()[key], value if exact else value.half().float())


def test_weights_that_differ_from_their_json_are_refused(tmp_path: Path) -> None:
    path, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_weights(network(), path, {"test_accuracy": 0.5})
    weights = load_file(path)
    weights["fc8.bias"][0] += 1e-3
    save_file(weights, other)
    shutil.copy(other, path)
    with pytest.raises(CheckpointError) as caught:
        load_weights(network(), path)
    assert str(path) in str(caught.value) and "a.json" in str(caught.value) and "\n" not in str(caught.value)
    path.with_suffix(".json").write_text('{"test_accuracy": 0.5}')  # an older one, without a digest
    assert load_weights(network(), path) == {"test_accuracy": 0.5}
    assert load_weights(network(), other) == {}


@shipped
def test_every_shipped_checkpoint_agrees_with_its_json(path: Path) -> None:
    assert json.loads(path.with_suffix(".json").read_text())["weights"] == digest(path)


@pytest.mark.parametrize("path", VICTIMS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shipped_checkpoint_is_a_recogniser(path: Path) -> None:
    about = json.loads(path.with_suffix(".json").read_text())
    victim = load_victim(str(path))
    wanted = about["settings"]["model"]
    assert type(victim.model).__name__ == wanted["architecture"]["_target_"].rpartition(".")[2]
    assert type(victim.preprocess).__name__ == wanted["preprocess"]["_target_"].rpartition(".")[2]
    assert not victim.training and victim.features(clips_of(path))  # takes clips of its dataset
    assert victim(clips_of(path)).shape == (2, about["num_classes"])


def clips_of(path: Path) -> torch.Tensor:
    _, dataset = load_victim_and_dataset(path)
    rng = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, dataset.num_frames, dataset.skeleton.num_joints, dataset.num_persons, generator=rng)


def test_a_shipped_recogniser_is_correct_where_its_network_alone_is_not() -> None:
    """On 40 test clips of the generator; the JSON states the accuracy on all test clips."""
    path = SHIPPED / "synthetic_cs" / "hcn_t32_k10_s1.safetensors"
    dataset = SyntheticMotion(num_frames=32, num_actions=10, num_persons=1)
    clips = Generated(dataset)
    batch = load_batch(dataset, clips, hashed_order(clips.clips, "test")[:40])
    stated = json.loads(path.with_suffix(".json").read_text())["test_accuracy"]
    hits = [int((load(path)(batch.x).argmax(dim=1) == batch.y).sum()) for load in (load_victim, load_checkpoint)]
    assert binomtest(hits[0], 40, stated).pvalue > 1e-3 and hits[0] > 30 > 20 > hits[1]


def test_utd_mhads_recogniser_has_its_stated_accuracy(shared: Path, tmp_path: Path) -> None:
    """With ``load_checkpoint``, it is 8.4 %."""
    path = SHIPPED / "utd_mhad" / "hcn_t32_k27_s0.safetensors"
    dataset = UTDMHAD(str(shared / "datasets" / "utd_mhad"))
    clips = prepare(dataset, tmp_path)
    batch = load_batch(dataset, clips, hashed_order(clips.clips, "test"))
    with torch.no_grad():
        hits = int((load_victim(path)(batch.x).argmax(dim=1) == batch.y).sum())
        without = int((load_checkpoint(path)(batch.x).argmax(dim=1) == batch.y).sum())
    about = json.loads(path.with_suffix(".json").read_text())
    assert (
        (hits, len(batch)) == (round(about["test_accuracy"] * about["test_clips"]), about["test_clips"]) == (402, 430)
    )
    assert without == 36
    text = load_checkpoint.__doc__ or ""
    assert "without its preprocessing" in text and "load_victim" in text and "8.4 %" in text


def test_targets_in_a_json_are_checked_before_import(tmp_path: Path) -> None:
    made = SHIPPED / "utd_mhad" / "hcn_t32_k27_s0.json"
    path = tmp_path / "a.safetensors"
    shutil.copy(made.with_suffix(".safetensors"), path)
    (tmp_path / "evilmod.py").write_text("raise SystemExit('it ran')")
    for part, target in (
        ("architecture", "evilmod.Evil"),
        ("architecture", "skeleton_adv.models.weights.save_weights"),
        ("architecture", "skeleton_adv.models.hcn.Tensor"),
        ("architecture", "skeleton_adv.models.hcn.nn.Linear"),
        ("preprocess", "skeleton_adv.data.utd_mhad.UTDMHAD"),
        ("preprocess", "skeleton_adv.models.gone.Gone"),
        ("architecture", "skeleton_adv.models.preprocess.Gone"),
    ):
        about = json.loads(made.read_text())
        about["settings"]["model"][part]["_target_"] = target
        path.with_suffix(".json").write_text(json.dumps(about))
        with pytest.raises(CheckpointError) as caught:
            load_victim(path)
        assert target in str(caught.value) and "\n" not in str(caught.value)
    path.with_suffix(".json").write_text('{"settings": {"model": {}}}')
    with pytest.raises(CheckpointError, match=r"a\.json lacks a usable setting"):
        load_victim(path)
    path.with_suffix(".json").unlink()
    with pytest.raises(CheckpointError, match="load_checkpoint"):
        load_victim(path)


def test_both_loaders_are_found_by_name() -> None:
    assert {*skeleton_adv.models.__all__} == {"load_checkpoint", "load_victim"}
    with pytest.raises(AttributeError):
        skeleton_adv.models.gone  # noqa: B018


def test_a_network_from_outside_needs_no_registration(tmp_path: Path) -> None:
    """Its parameters name the facts that it receives; it declares no layers, and its skeleton is not listed."""

    class Mine(nn.Module):
        def __init__(self, num_classes: int, num_frames: int, depth: int = 1) -> None:
            super().__init__()
            self.fc = nn.Linear(3 * num_frames, num_classes)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.fc(x.mean(dim=(3, 4)).flatten(1))
            return logits

    net = build_network(partial(Mine, depth=2), lambda: nn.Identity(), DATA)
    x = torch.randn(2, 3, 16, 25, 2, generator=torch.Generator().manual_seed(0))
    save_weights(net, tmp_path / "mine.safetensors", {})
    other = build_network(Mine, lambda: nn.Identity(), DATA)
    load_weights(other, tmp_path / "mine.safetensors")
    assert torch.equal(net(x), other(x)) and list(net.features(x)) == ["logits"]
    assert torch.equal(net.features(x)["logits"], net(x))


def test_classes_that_the_dataset_lacks_are_left_out_of_fr_heads_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, wide = (Network(nn.Identity(), CTRGCN(num_classes=k, width=4), k) for k in (3, 5))
    heads = {"ren_low.spatio_cl_net.cl_fc.bias": torch.zeros(2)}
    torch.save({**wide.model.state_dict(), **heads}, tmp_path / "runs.pt")
    load_weights(network, tmp_path / "runs.pt")
    x = torch.randn(2, 3, 16, 25, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network.double().eval()(x), wide.double().eval()(x)[:, :3])
    network.float()
    assert "the last 2 classes" in capsys.readouterr().err
    torch.save(wide.model.state_dict(), tmp_path / "ctrgcn.pt")  # CTR-GCN has no such classes
    with pytest.raises(CheckpointError, match=r"fc\.bias \(5 in the file, 3 in the model\)"):
        load_weights(network, tmp_path / "ctrgcn.pt")


def test_a_victim_whose_classes_are_in_files_is_loaded_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    victim, dataset = load_victim_and_dataset(SHIPPED / "hdm05_11/hcn_t32_k11_s0.safetensors")
    assert dataset.name == "hdm05_11" and len(dataset.classes) == 11
    assert victim(torch.randn(2, 3, 32, 31, 1)).shape == (2, 11)
