"""Trainings that change the space of features: PCL and M-SVDD."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import make_batch
from torch import Tensor, nn

from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.data.clips import Prepared
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.models.agcn import AGCN, TwoStreamAGCN
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.one_class import OneClassHead, head_of, verified
from skeleton_adv.models.preprocess import CenterPerFrame
from skeleton_adv.models.sgn import SGN
from skeleton_adv.models.sgn_front import Sequence
from skeleton_adv.models.weights import load_weights, save_weights
from skeleton_adv.train.fit import fit
from skeleton_adv.train.msvdd import MSVDD
from skeleton_adv.train.pcl import PCL, Prototypes, attraction, pooled, repulsion
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.training import Training

RECIPE = Recipe(epochs=2, batch_size=12, lr=1e-3, held_out=0.25)
SHAPE = UTDMHAD("", num_frames=16)


@pytest.fixture(scope="module")
def data(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[UTDMHAD, Prepared]:
    dataset = UTDMHAD(str(mat_folder), num_frames=16)
    return dataset, prepare(dataset, tmp_path_factory.mktemp("cache"))


def hcn() -> Network:
    return build_network(partial(HCN, fc7=16), CenterPerFrame, SHAPE)


def batch_of(n: int = 6) -> Any:
    return make_batch(n=n, t=16, m=1, skeleton=KINECT20, dtype=torch.float32)


def trained(data: Any, training: Training, scratch: Path, stop_after: int | None = None) -> Network:
    seen: list[str] = []

    def log(text: str) -> None:
        seen.append(text)
        if len(seen) == stop_after:
            raise KeyboardInterrupt

    places: dict[str, Any] = {"seed": 0, "device": "cpu", "scratch": scratch, "log": log, "training": training}
    network, _ = fit(lambda: training.network(hcn()), *data, RECIPE, **places)
    assert isinstance(network, Network)
    return network


def flat(model: nn.Module) -> Tensor:
    return torch.cat([weight.flatten() for weight in model.state_dict().values()])


@pytest.mark.parametrize("training", [PCL(start_from="random"), MSVDD(dim=4)], ids=["pcl", "msvdd"])
def test_a_killed_one_ends_with_the_same_weights(training: Training, data: Any, tmp_path: Path) -> None:
    whole = flat(trained(data, training, tmp_path / "a"))
    with pytest.raises(KeyboardInterrupt):
        trained(data, training, tmp_path / "b", stop_after=1)
    assert torch.equal(flat(trained(data, training, tmp_path / "b")), whole)


def test_the_centres_that_attract_go_to_the_mean_of_their_class() -> None:
    """With a rate of 1/2, and one clip, a centre reaches its features in one step: the gradient is twice the gap."""
    torch.manual_seed(0)
    training = PCL(attract=3.0, repel=0.01, attract_rate=0.5, repel_rate=0.1)
    model, batch = training.start(hcn(), SHAPE, 6).eval(), batch_of(1)
    features = {name: model.network.features(batch.x)[name] for name in model.layers}
    flat_features = [pooled(features["conv6"], batch.mask), features["fc7"]]
    near, far = ([centre.clone() for centre in sets] for sets in (model.near, model.far))
    optimiser = training.optimiser(model, replace(RECIPE, lr=1e-12, weight_decay=0.0), 6)
    training.step(model, optimiser, batch, RECIPE)
    label, classes = int(batch.y[0]), 27
    for layer, f in enumerate(flat_features):
        torch.testing.assert_close(model.near[layer][label], f[0].detach())
        away = far[layer] - 0.1 * 2 * (f - far[layer]).detach() / (classes - 1)  # from the clip
        others = [c for c in range(classes) if c != label]
        torch.testing.assert_close(model.far[layer][others], away[others])
        assert torch.equal(model.near[layer][others], near[layer][others])
        assert torch.equal(model.far[layer][label], far[layer][label])


def test_the_loss_of_pcl_is_its_formula() -> None:
    torch.manual_seed(0)
    training = PCL(attract=0.5, repel=0.01)
    model, batch = training.start(hcn(), SHAPE, 6).eval(), batch_of()
    features = model.network.features(batch.x)
    expected = F.cross_entropy(features["fc8"], batch.y)
    for layer, f in enumerate((features["conv6"][:, 0].mean(dim=(2, 3)), features["fc7"])):
        for i, y in enumerate(batch.y.tolist()):
            expected = expected + 0.5 * (f[i] - model.near[layer][y]).square().sum() / 6
            others = [(f[i] - model.far[layer][c]).square().sum() for c in range(27) if c != y]
            expected = expected - 0.01 * torch.stack(others).mean() / 6
    torch.testing.assert_close(training.loss(model, batch, RECIPE), expected)


def test_absent_persons_have_no_features() -> None:
    features = torch.randn(2, 2, 3, 4, 5)
    mask = torch.ones(2, 1, 4, 5, 2, dtype=torch.bool)
    mask[0, ..., 1] = False
    torch.testing.assert_close(pooled(features, mask)[0], features[0, 0].mean(dim=(1, 2)))
    torch.testing.assert_close(pooled(features, mask)[1], features[1].mean(dim=(0, 2, 3)))
    last = features.movedim(2, -1)  # as in SGN
    torch.testing.assert_close(pooled(last, mask, -1), pooled(features, mask))
    torch.testing.assert_close(pooled(last[:, 0], None, -1), pooled(features[:, 0], None))
    y = torch.tensor([0])
    assert attraction(torch.ones(1, 4), torch.zeros(2, 4), y) == 4
    assert repulsion(torch.ones(1, 4), torch.tensor([[9.0], [3.0]]).expand(2, 4), y) == 16


def test_layers_are_chosen_or_refused() -> None:
    assert PCL().start(hcn(), SHAPE, 6).layers == ("conv6", "fc7")
    agcn = build_network(partial(AGCN, width=4), CenterPerFrame, SHAPE)
    started = PCL().start(agcn, SHAPE, 6)
    assert isinstance(started, Prototypes) and started.layers == ("l7", "pool")
    assert [len(centre[0]) for centre in started.near] == [8, 16]
    assert PCL(layers=["fc7"]).start(hcn(), SHAPE, 6).layers == ("fc7",)
    sgn = build_network(partial(SGN, width=8), partial(Sequence, sampling="whole"), SHAPE)
    wide = PCL(layers=["gcn3"]).start(sgn, SHAPE, 6)  # its channels are last
    channels = sgn.features(batch_of().x)["gcn3"].shape[-1]
    assert isinstance(wide, Prototypes) and [len(centre[0]) for centre in wide.near] == [channels]
    PCL(layers=["gcn3"]).loss(wide, batch_of(), RECIPE).backward()  # type: ignore[no-untyped-call]
    assert wide.near[0].grad is not None
    two = build_network(partial(TwoStreamAGCN, width=4), CenterPerFrame, SHAPE)
    for training, network, match in (
        (PCL(layers=["fc9"]), hcn(), "did you mean"),
        (PCL(), two, "training.layers"),
        (PCL(), Network(nn.Identity(), nn.Flatten()), "names its layers"),
    ):
        with pytest.raises(SettingError, match=match):
            training.start(network, SHAPE, 6)
    assert PCL(layers=["conv5", "fc7"]).tag == "pcl_layersconv5+fc7"


def test_the_scores_are_those_of_spheres() -> None:
    head = OneClassHead(3, 2, 3)
    with torch.no_grad():
        head.map[0].weight.copy_(torch.eye(3))  # type: ignore[union-attr, operator]
        head.map[0].bias.zero_()  # type: ignore[union-attr, operator]
        head.centres.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
        head.radii.copy_(torch.tensor([0.5, -1.0]))
        scores = head(torch.tensor([[1.0, -4.0, 0.3], [0.0, 5.0, 0.0]]))
    torch.testing.assert_close(scores, torch.tensor([[0.25 - 0.09, 1 - 1 - 4 - 0.09], [0.25 - 26, 1 - 9.0]]))
    assert verified(scores).tolist() == [True, False]


def test_the_loss_of_msvdd_is_its_formula() -> None:
    torch.manual_seed(0)
    training = MSVDD(dim=4, nu=0.2, temperature=2.0, weight=0.5)
    model, batch = training.network(hcn()).eval(), batch_of()
    scores = model(batch.x)
    expected = F.cross_entropy(scores / 2, batch.y)
    for i, y in enumerate(batch.y.tolist()):
        square = head_of(model.model).radii[y] ** 2
        distance = square - scores[i, y]
        expected = expected + 0.5 * (square + (distance - square).relu() / 0.2) / 6
    torch.testing.assert_close(training.loss(model, batch, RECIPE), expected)
    x = batch.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).sum(), x)
    assert gradient.isfinite().all() and gradient.any()


def test_weights_with_a_one_class_head_are_loaded_into_a_plain_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, batch = MSVDD(dim=4).network(hcn()).eval(), batch_of()
    save_weights(network, tmp_path / "a.safetensors", {})
    other = hcn().eval()
    load_weights(other, tmp_path / "a.safetensors")
    assert torch.equal(other(batch.x), network(batch.x)) and isinstance(other.model.get_submodule("fc8"), OneClassHead)
    save_weights(MSVDD(dim=4).network(build_network(HCN, CenterPerFrame, SHAPE)), tmp_path / "b.safetensors", {})
    with pytest.raises(CheckpointError):
        load_weights(hcn(), tmp_path / "b.safetensors")


def test_a_network_without_a_last_linear_layer_is_refused() -> None:
    two = build_network(partial(TwoStreamAGCN, width=4), CenterPerFrame, SHAPE)
    for network in (two, Network(nn.Identity(), nn.Flatten())):
        with pytest.raises(SettingError, match="training=msvdd"):
            MSVDD().network(network)
