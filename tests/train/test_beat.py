"""BEAT: its chains, neighbours and loss, and that a kill changes nothing."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import make_batch
from torch import Tensor

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.data.clips import Prepared
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.posterior import Appended
from skeleton_adv.models.preprocess import CenterPerFrame
from skeleton_adv.train.beat import BEAT, Chains, moved
from skeleton_adv.train.fit import fit
from skeleton_adv.train.recipe import Recipe

SMALL = BEAT(epochs=2, batch_size=12, copies=2, leaps=2, chains=10, sgld_steps=2)
RELEASED = replace(SMALL, sampler="released", burn_in=0.0, density="mean", persistent=False)


@pytest.fixture(scope="module")
def data(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[UTDMHAD, Prepared]:
    dataset = UTDMHAD(str(mat_folder), num_frames=16)
    return dataset, prepare(dataset, tmp_path_factory.mktemp("cache"))


def clean() -> Network:
    torch.manual_seed(0)
    return build_network(partial(HCN, fc7=16), CenterPerFrame, UTDMHAD("", num_frames=16))


def started(training: BEAT) -> Chains:
    torch.manual_seed(1)
    return training.start(training.network(clean()), UTDMHAD("", num_frames=16), 40).train()


def batch_of(n: int = 6) -> Any:
    return make_batch(n=n, t=16, m=1, skeleton=KINECT20, dtype=torch.float32)


def trained(data: Any, training: BEAT, scratch: Path, stop_after: int | None = None) -> Network:
    seen: list[str] = []

    def log(text: str) -> None:
        seen.append(text)
        if len(seen) == stop_after:
            raise KeyboardInterrupt

    places: dict[str, Any] = {"seed": 0, "device": "cpu", "scratch": scratch, "log": log, "training": training}
    network, _ = fit(lambda: training.network(clean()), *data, training.recipe(Recipe()), **places)
    assert isinstance(network, Network)
    return network


@pytest.mark.parametrize("training", [SMALL, RELEASED], ids=["ours", "released"])
def test_a_killed_one_ends_with_the_same_weights(training: BEAT, data: Any, tmp_path: Path) -> None:
    network = trained(data, training, tmp_path / "a")
    whole, before = network.model.state_dict(), clean().model.state_dict()
    assert isinstance(network.model, Appended) and not network.training
    assert all(torch.equal(value, whole[f"backbone.{key}"]) for key, value in before.items())  # frozen, with statistics
    with pytest.raises(KeyboardInterrupt):
        trained(data, training, tmp_path / "b", stop_after=1)
    assert torch.load(tmp_path / "b", weights_only=True)["model"]["begun"].any() == (training is SMALL)
    resumed = trained(data, training, tmp_path / "b").model.state_dict()
    assert {*resumed} == {*whole} and all(torch.equal(value, resumed[key]) for key, value in whole.items())


def test_chains_go_on_in_later_batches() -> None:
    training, batch = replace(SMALL, restart=0.0), batch_of()
    model = started(training)
    torch.manual_seed(0)
    first = training.chained(model, batch)
    slots = model.begun.nonzero()[:, 0].tolist()
    assert len(slots) == 6 and all(any(torch.equal(model.x[slot], chain) for chain in first) for slot in slots)
    still = replace(training, sgld_rate=1e-12, sgld_noise=0.0)
    present = batch.movable.all(dim=0)  # a joint that a clip lacks does not move
    model.begun[:] = True
    before = model.x.clone()
    still.chained(model, batch)
    torch.testing.assert_close(model.x[:, present], before[:, present])
    replace(still, restart=0.99).chained(model, batch)
    assert ((model.x - before)[:, present].abs().amax(dim=1) > 0.01).sum() >= 4


def test_a_batch_may_be_larger_than_the_chains_that_are_kept() -> None:
    for training in (replace(SMALL, chains=3), RELEASED):
        model, batch = started(training), batch_of(5)
        x = training.chained(model, batch)
        assert x.shape == batch.x.shape and len(model.x) == (3 if training.persistent else 0) and model.begun.all()
        assert torch.equal(x[~batch.movable], batch.x[~batch.movable])


def test_langevin_dynamics_samples_a_gaussian() -> None:
    """With drift ``rate * gradient`` and noise of variance ``2 rate``, a normal density is sampled."""
    batch = make_batch(n=300, t=2, m=1, skeleton=KINECT20, dtype=torch.float32)
    training = BEAT(sgld_steps=60, sgld_rate=0.1, sgld_noise=0.2**0.5)
    torch.manual_seed(0)
    x = training._langevin(lambda moved: -(moved - 2).square().flatten(1).sum(dim=1) / 2, batch.x, batch)
    assert float(x[batch.movable].mean()) == pytest.approx(2, abs=0.02)
    assert float(x[batch.movable].var()) == pytest.approx(1 / (1 - 0.1 / 2), rel=0.02)  # of the discrete chain


def test_neighbours_keep_the_label_and_the_motion() -> None:
    model, batch = started(SMALL).eval(), batch_of()
    training = replace(SMALL, perturb=0.05, sgld_steps=20, sgld_rate=0.003, motion=0.0)

    def loss(x: Tensor) -> float:
        return float(F.cross_entropy(model.network(x), batch.y).detach())

    torch.manual_seed(0)
    near = training.neighbours(model.network, batch)
    torch.manual_seed(0)
    start = replace(training, sgld_rate=1e-12).neighbours(model.network, batch)
    assert loss(near) < loss(start)
    torch.manual_seed(0)
    still = replace(training, motion=100.0, sgld_rate=0.01).neighbours(model.network, batch)
    assert moved(still, batch).mean() < 0.9 * moved(start, batch).mean()
    assert (moved(batch.x, batch) == 0).all()
    shifted = batch.x + 1.0  # a translation changes neither bones nor motion
    assert (moved(shifted, batch) < 1e-9).all()


def test_the_loss_is_its_formula() -> None:
    model, batch = started(SMALL), batch_of()
    head = model.network.model.get_submodule("appended")
    logits = tuple(torch.randn(6, 27, generator=torch.Generator().manual_seed(k)) for k in range(3))
    own, chain, near = (head(one) for one in logits)
    for density in ("logsumexp", "mean"):
        training = replace(SMALL, density=density, energy=0.7, neighbour=0.2)
        f = (lambda z: z.logsumexp(dim=-1)) if density == "logsumexp" else (lambda z: z.mean(dim=-1))
        for k in range(2):
            expected = F.cross_entropy(own[k], batch.y) + 0.2 * F.cross_entropy(near[k], batch.y)
            expected = expected - 0.7 * (f(own[k]).mean() - f(chain[k]).mean())
            torch.testing.assert_close(training.by_head(head, logits, batch.y)[k], expected)
    plain = replace(SMALL, energy=0.0, neighbour=0.0).by_head(head, logits, batch.y)
    torch.testing.assert_close(plain[0], F.cross_entropy(own[0], batch.y))


def test_settings_out_of_range_and_log_probabilities_are_refused() -> None:
    with pytest.raises(SettingError, match="sgld_rate="):
        BEAT(sgld_rate=0.0)
    network = clean()
    network.model.log_probabilities = True  # type: ignore[assignment]
    with pytest.raises(SettingError, match="training=beat"):
        BEAT().network(network)
