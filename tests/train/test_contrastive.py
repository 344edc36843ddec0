"""Contrastive training: its views, loss and queues, and that a killed training ends with the same weights."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import make_batch
from torch import nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import KINECT20, OPENPOSE18
from skeleton_adv.data.clips import Prepared
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.models.contrastive_encoder import ContrastiveEncoder, SequenceEncoder
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.preprocess import CenterPerFrame
from skeleton_adv.train.contrastive import Contrastive, InterSkeleton, recognised
from skeleton_adv.train.fit import fit
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.views import changed, cropped

SMALL = Contrastive(hidden=6, layers=1, dim=8)
RECIPE = Recipe(epochs=3, batch_size=5, optimiser="sgd", lr=0.05, held_out=0.0, clip_norm=None)


@pytest.fixture(scope="module")
def data(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[UTDMHAD, Prepared]:
    dataset = UTDMHAD(str(mat_folder), num_frames=16)
    return dataset, prepare(dataset, tmp_path_factory.mktemp("cache"))


def build() -> Network:
    dataset = UTDMHAD("", num_frames=16)
    return build_network(partial(ContrastiveEncoder, width=8), CenterPerFrame, dataset)


def started(clips: int = 12, **settings: Any) -> InterSkeleton:
    torch.manual_seed(0)
    training = Contrastive(**{"hidden": 6, "layers": 1, "dim": 8} | settings)
    return training.start(build(), UTDMHAD("", num_frames=16), clips)


def batch_of(n: int = 4) -> Any:
    return make_batch(n=n, t=16, m=1, skeleton=KINECT20, dtype=torch.float32)


def test_windows_are_resized_parts_of_a_clip() -> None:
    torch.manual_seed(0)
    x = torch.arange(20.0).view(1, 1, 20, 1, 1).repeat(200, 1, 1, 1, 1)
    assert torch.equal(cropped(x, 1.0), x)
    seen = cropped(x, 0.5)[:, 0, :, 0, 0]
    assert seen.min() >= 0 and seen.max() <= 19 and (seen.diff(dim=1) >= 0).all()
    span = seen[:, -1] - seen[:, 0]
    assert span.min() > 8 and 12 < span.mean() < 16 and len(set(seen[:, 0].tolist())) > 10


def test_half_of_the_clips_are_sheared_and_half_corrupted() -> None:
    torch.manual_seed(0)
    n, v = 400, 25
    x = make_batch(n=1, t=4, m=1, dtype=torch.float32).x.repeat(n, 1, 1, 1, 1) + 1
    new = changed(x, (0, 1, 2))
    still = (new == x).all(dim=1).all(dim=1)[..., 0].sum(dim=1)  # joints
    lost = (new == 0).all(dim=1).all(dim=1)[..., 0].sum(dim=1)
    assert {*still.tolist()} == {0, v - 15} and {*lost.tolist()} == {0, 15}
    sheared, gone = (still == 0), (lost > 0)
    assert 0.4 < sheared.float().mean() < 0.6 and 0.17 < gone.float().mean() < 0.33
    clip = int(sheared.nonzero()[0])
    matrix = torch.linalg.lstsq(x[clip].flatten(1).T, new[clip].flatten(1).T).solution.T
    torch.testing.assert_close(matrix.diagonal(), torch.ones(3), rtol=0, atol=1e-3)
    assert matrix.abs().max() <= 1 + 1e-3 and (matrix - torch.eye(3)).abs().max() > 0.05


def test_scores_are_no_coordinates() -> None:
    torch.manual_seed(0)
    x = make_batch(n=60, t=4, m=1, skeleton=OPENPOSE18, dtype=torch.float32).x + 1
    new = changed(x, OPENPOSE18.coords)
    kept = (new[:, 2] == x[:, 2]) | (new == 0).all(dim=1)  # a lost joint has no score
    assert kept.all() and (new[:, :2] != x[:, :2]).any()


def test_the_loss_of_orthogonal_keys_is_known() -> None:
    keys = torch.eye(8)[:3]
    others = torch.eye(8)[3:]
    found = recognised(keys, keys, others, 0.5)
    assert float(found) == pytest.approx(math.log(1 + 5 * math.exp(-2)))
    wrong = recognised(keys, others[:3], others, 0.5)
    assert float(wrong) == pytest.approx(math.log(6))


def test_keys_follow_the_queries_and_enter_the_queues() -> None:
    model = started(momentum=0.75).train()
    assert model.graph_queue.shape == (6, 8)  # half of the clips
    torch.testing.assert_close(model.sequence_queue.norm(dim=1), torch.ones(6))
    x = model.network.preprocess(batch_of().x)
    with torch.no_grad():
        for weight in (model.head.weight, model.sequence.fc.weight):
            weight += 1
    before = [(model.keys[1].weight.clone(), model.head.weight.clone()), model.graph_queue.clone()]
    loss = model.contrast(x, x.flip(2), 0.75, 0.1)
    loss.backward()
    (key, query), queue = before
    torch.testing.assert_close(model.keys[1].weight, 0.75 * key + 0.25 * query)
    assert all(weight.grad is None for weight in model.keys.parameters())
    for part in (model.network, model.head, model.sequence):
        assert all(weight.grad is not None for weight in part.parameters())
    assert int(model.place) == 4 and torch.equal(model.graph_queue[4:], queue[4:])
    assert not torch.isclose(model.graph_queue[:4], queue[:4]).all(dim=1).any()
    model.contrast(x, x, 0.75, 0.1)
    assert int(model.place) == 2 and not torch.equal(model.graph_queue[4:], queue[4:])


def test_the_loss_is_that_of_both_encoders() -> None:
    model = started().eval()
    x, y = (model.network.preprocess(one) for one in (batch_of().x, batch_of().x.flip(2)))
    queues = model.graph_queue.clone(), model.sequence_queue.clone()
    loss = model.contrast(x, y, 0.5, 0.2)  # keys equal queries, so they do not move
    graph, sequence = (
        [F.normalize(part, dim=1) for part in (model.head(model.network.model(z)), model.sequence(z))] for z in (x, y)
    )
    expected = recognised(graph[1], sequence[0], queues[0], 0.2) + recognised(graph[0], sequence[1], queues[1], 0.2)
    torch.testing.assert_close(loss, expected)


def test_the_queue_is_bounded() -> None:
    assert len(started(100_000).graph_queue) == 16384 and len(started(1).graph_queue) == 1
    model = started(3).train()
    x = model.network.preprocess(batch_of().x)
    model.contrast(x, x, 0.5, 0.1)  # more clips than entries
    assert len(started(queue=10).graph_queue) == 10 and model.graph_queue.isfinite().all()


def test_labels_are_not_used() -> None:
    losses = []
    for y in (torch.zeros(4, dtype=torch.long), torch.arange(4)):
        model = started().train()
        torch.manual_seed(1)
        losses.append(SMALL.loss(model, batch_of().with_labels(y), RECIPE))
    assert torch.equal(*losses)


def train(data: Any, scratch: Path, stop_after: int | None = None, seed: int = 0) -> nn.Module:
    seen: list[str] = []

    def log(text: str) -> None:
        seen.append(text)
        if len(seen) == stop_after:
            raise KeyboardInterrupt

    model, _ = fit(build, *data, RECIPE, seed=seed, device="cpu", scratch=scratch, log=log, training=SMALL)
    return model


def weights_of(model: nn.Module) -> torch.Tensor:
    return torch.cat([weight.flatten() for weight in model.state_dict().values()])


def test_a_killed_training_ends_with_the_same_weights(data: Any, tmp_path: Path) -> None:
    whole = train(data, tmp_path / "a")
    assert isinstance(whole, Network) and isinstance(whole.model, ContrastiveEncoder)  # the graph encoder alone
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "b", stop_after=2)
    saved = torch.load(tmp_path / "b", weights_only=True)["model"]
    assert {"graph_queue", "sequence_queue", "place", "keys.2.gru.weight_ih_l0"} <= {*saved}
    assert torch.equal(weights_of(train(data, tmp_path / "b")), weights_of(whole))
    assert not torch.equal(weights_of(train(data, tmp_path / "c", seed=1)), weights_of(whole))


def test_views_of_a_clip_become_alike(data: Any) -> None:
    """After a few steps on the same clips, a clip's key is recognised better than at the start."""
    model = started(queue=8).train()
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    x, losses = batch_of(8), []
    torch.manual_seed(2)
    for _ in range(30):
        loss = Contrastive(hidden=6, layers=1, dim=8, crop=0.9).loss(model, x, RECIPE)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-8:]) < 0.85 * sum(losses[:8])


def test_the_gru_reads_every_frame() -> None:
    torch.manual_seed(0)
    encoder = SequenceEncoder(6, 4, 2, 5)
    x = torch.randn(2, 3, 7, 2, 1, requires_grad=True)
    (gradient,) = torch.autograd.grad(encoder(x)[0].sum(), x)
    assert encoder(x).shape == (2, 5) and gradient[0].abs().sum(dim=(0, 2, 3)).min() > 0 and not gradient[1].any()


def test_what_it_cannot_train_is_refused() -> None:
    with pytest.raises(SettingError, match="held_out"):
        SMALL.check(Recipe(held_out=0.1))
    with pytest.raises(SettingError, match="temperature"):
        Contrastive(temperature=0.0)
    with pytest.raises(SettingError, match="preprocessing"):
        SMALL.start(nn.Linear(2, 2), UTDMHAD(""), 4)
