"""Adversarial trainings: the inner maximum of a linear model is known, and what the attack must not change."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import Linear, make_batch
from torch import Tensor, nn

from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.tree import rebuilt
from skeleton_adv.data.clips import Prepared
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.preprocess import CenterPerFrame
from skeleton_adv.train.adversarial import Adversarial
from skeleton_adv.train.bones import BoneAdversarial
from skeleton_adv.train.fit import fit
from skeleton_adv.train.inner import attacking, in_ball, in_bones, step_of
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.robust import Robust
from skeleton_adv.train.trades import TRADES, divergence
from skeleton_adv.train.training import Training

RECIPE = Recipe(epochs=2, batch_size=6, lr=2e-3, held_out=0.0)
NORMS: tuple[Norm, ...] = ("linf", "l2", "rms")


def case() -> tuple[Linear, Any, Tensor]:
    """A linear model of two classes, clips with labels 0 and 1, and the gradient (N, C, T, V, M) of each margin."""
    batch = make_batch(n=4, t=8)
    batch = batch.with_labels(torch.tensor([0, 1, 1, 0]))
    model = Linear(batch, classes=2)
    up = (model.weight[1] - model.weight[0]).view(1, *batch.x.shape[1:]) * (1 - 2 * batch.y).view(-1, 1, 1, 1, 1)
    return model, batch, up * batch.movable


def cross_entropy_of(model: nn.Module, y: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: F.cross_entropy(model(x), y, reduction="none")


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("random_start", [True, False])
def test_on_a_linear_model_the_attack_finds_the_maximum(norm: Norm, random_start: bool) -> None:
    """The maximum is at ``eps`` times the sign of the gradient (linf), or along the gradient (l2)."""
    model, batch, up = case()
    ball = Ball(norm, 0.02)
    x = in_ball(cross_entropy_of(model, batch.y), batch, ball, step=0.01, steps=60, random_start=random_start)
    if norm == "linf":
        expected = batch.x + 0.02 * up.sign()
    else:
        radius = ball.of(batch).radius
        expected = batch.x + radius * up / up.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1)
    torch.testing.assert_close(x, expected, rtol=0, atol=1e-9 if norm == "linf" else 1e-5)
    assert ball.satisfied(x, batch).all() and torch.equal(x[~batch.movable], batch.x[~batch.movable])


def test_on_a_linear_model_bones_have_the_factors_of_the_maximum() -> None:
    model, batch, up = case()
    x = in_bones(cross_entropy_of(model, batch.y), batch, 0.1, step=0.04, steps=5)
    factors = torch.ones(len(batch), 2, len(batch.skeleton.bones), dtype=batch.x.dtype, requires_grad=True)
    (slope,) = torch.autograd.grad((rebuilt(batch, factors) * up).sum(), factors)  # the margin is linear in the factors
    torch.testing.assert_close(x, rebuilt(batch, 1 + 0.1 * slope.sign()))


def test_one_step_from_a_random_start_may_cross_the_ball() -> None:
    assert step_of(None, 0.01, 1) == pytest.approx(0.0125) and step_of(None, 0.01, 10) == pytest.approx(0.0025)
    assert step_of(0.003, 0.01, 10) == 0.003


def network() -> Network:
    torch.manual_seed(0)
    return build_network(Normalised, CenterPerFrame, UTDMHAD(""))


class Normalised(nn.Module):
    """A network with dropout and batch normalisation."""

    def __init__(self, num_classes: int = 27) -> None:
        super().__init__()
        self.layers_ = nn.Sequential(
            nn.Flatten(), nn.Linear(3 * 32 * 20, 12), nn.BatchNorm1d(12), nn.Dropout(0.5), nn.Linear(12, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers_(x)
        return logits


def own_batch(n: int = 6) -> Any:
    from skeleton_adv.core.skeleton import KINECT20

    return make_batch(n=n, t=32, m=1, skeleton=KINECT20, dtype=torch.float32)


TRAININGS: dict[str, Training] = {
    "adversarial": Adversarial(steps=2),
    "adversarial eval": Adversarial(steps=2, mode="eval"),
    "fast": Adversarial(steps=1),
    "trades": TRADES(steps=2),
    "bones": BoneAdversarial(steps=2),
}
every = pytest.mark.parametrize("name", TRAININGS)


@every
def test_statistics_are_those_of_the_passes_that_are_trained(name: str) -> None:
    """Attacks change no running statistics, no mode and no gradient."""
    model, batch = network().train(), own_batch()
    norm, seen = model.model.get_submodule("layers_.2"), 0

    def count(*_: Any) -> None:
        nonlocal seen
        seen += norm.training and norm.track_running_stats

    norm.register_forward_hook(count)
    assert isinstance(norm, nn.BatchNorm1d) and norm.num_batches_tracked is not None
    TRAININGS[name].loss(model, batch, RECIPE)
    passes = 2 if name == "trades" else 1
    assert int(norm.num_batches_tracked) == passes == seen
    assert all(module.training for module in model.modules()) and norm.track_running_stats
    assert all(weight.grad is None for weight in model.parameters())


def test_a_frozen_part_stays_in_evaluation_mode() -> None:
    model = network().train()
    model.model.get_submodule("layers_.2").eval()
    with attacking(model, "eval"):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()].count(False) == 1
    with pytest.raises(KeyboardInterrupt), attacking(model, "train"):
        raise KeyboardInterrupt
    assert [module.training for module in model.modules()].count(False) == 1


def test_without_a_budget_the_loss_is_the_clean_one() -> None:
    """TRADES shares the draws of dropout, so its divergence is 0 and the loss is the clean cross-entropy."""
    model, batch = network().train(), own_batch()
    losses = {}
    for name, training in (("plain", None), ("trades", TRADES(eps=1e-9)), ("adversarial", Adversarial(eps=1e-9))):
        torch.manual_seed(3)
        with torch.no_grad():
            if training is None:
                torch.randint(2**31, ())  # the seed of a random start
                losses[name] = F.cross_entropy(model(batch.x), batch.y)
            else:
                losses[name] = replace(training, mode="eval").loss(model, batch, RECIPE)
    torch.testing.assert_close(losses["trades"], losses["plain"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(losses["adversarial"], losses["plain"], rtol=1e-5, atol=1e-5)


def test_the_loss_of_trades_is_its_formula() -> None:
    model, batch = network().eval(), own_batch()
    training = TRADES(steps=3, eps=0.05, beta=2.0)
    torch.manual_seed(1)
    x_adv = training.diverging(model, batch)
    torch.manual_seed(1)
    loss = training.loss(model, batch, RECIPE)
    p, q = model(batch.x), model(x_adv)
    kl = F.kl_div(q.log_softmax(1), p.softmax(1), reduction="batchmean")
    torch.testing.assert_close(loss, F.cross_entropy(p, batch.y) + 2.0 * kl)
    assert kl > 0 and (divergence(p, p) == 0).all() and Ball("linf", 0.05).satisfied(x_adv, batch).all()


@pytest.fixture(scope="module")
def data(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[UTDMHAD, Prepared]:
    dataset = UTDMHAD(str(mat_folder))
    return dataset, prepare(dataset, tmp_path_factory.mktemp("cache"))


def small(data: Any) -> Network:
    return build_network(Normalised, CenterPerFrame, data[0])


def trained(
    data: Any, training: Training, scratch: Path, recipe: Recipe = RECIPE, stop_after: int | None = None
) -> tuple[nn.Module, Any]:
    seen: list[str] = []

    def log(text: str) -> None:
        seen.append(text)
        if len(seen) == stop_after:
            raise KeyboardInterrupt

    places: dict[str, Any] = {"seed": 0, "device": "cpu", "scratch": scratch}
    return fit(lambda: small(data), *data, recipe, **places, log=log, training=training)


def weights_of(model: nn.Module) -> Tensor:
    return torch.cat([weight.flatten() for weight in model.state_dict().values()])


@pytest.mark.parametrize("name", ["fast", "trades", "bones"])
def test_a_killed_training_ends_with_the_same_weights(name: str, data: Any, tmp_path: Path) -> None:
    recipe = replace(RECIPE, held_out=0.25)
    before = torch.get_rng_state()
    whole, state = trained(data, TRAININGS[name], tmp_path / "a", recipe)
    assert torch.equal(before, torch.get_rng_state()) and len(state.held_out) == 2
    with pytest.raises(KeyboardInterrupt):
        trained(data, TRAININGS[name], tmp_path / "b", recipe, stop_after=1)
    assert torch.equal(weights_of(trained(data, TRAININGS[name], tmp_path / "b", recipe)[0]), weights_of(whole))


@pytest.mark.slow
def test_a_trained_network_withstands_its_attack(data: Any, tmp_path: Path) -> None:
    """The loss under the attack is lower after adversarial training than after training without it."""
    from skeleton_adv.data.clips import load_batch

    recipe = Recipe(epochs=25, batch_size=6, lr=3e-3, held_out=0.0, crop=1.0)
    training = Adversarial(steps=3, eps=0.1)
    batch = load_batch(*data, [i for i, clip in enumerate(data[1].clips) if clip.split == "train"])
    found = {}
    for name, one in (("plain", Adversarial(steps=1, eps=1e-9)), ("robust", training)):
        model, _ = trained(data, one, tmp_path / name, recipe)
        with torch.no_grad():
            found[name] = float(F.cross_entropy(model(training.judged(model, batch)), batch.y))
    assert found["robust"] < 0.7 * found["plain"]


def test_held_out_clips_are_attacked(data: Any) -> None:
    model, batch = small(data).eval(), own_batch()
    for training in (Adversarial(eps=0.03), TRADES(eps=0.03), BoneAdversarial()):
        with torch.no_grad():
            x = training.judged(model, batch)
            clean, under = (F.cross_entropy(model(clips), batch.y) for clips in (batch.x, x))
        assert under > clean and not x.requires_grad
    assert torch.equal(Training().judged(model, batch), batch.x)


def test_clean_weights_are_tuned_for_all_epochs() -> None:
    recipe = Recipe(epochs=70, lr=0.1, schedule="steps", milestones=(3,), warmup=5, held_out=0.2, noise_warmup=0.5)
    tuned = Adversarial(start_from="clean", epochs=10).recipe(recipe)
    assert (tuned.epochs, tuned.held_out, tuned.batch_size, tuned.lr) == (10, 0.0, 64, pytest.approx(0.01))
    assert tuned.rate(0) == tuned.lr and tuned.rate(9) < 0.03 * tuned.lr and tuned.noise_share(0) == 1
    whole = Adversarial(batch_size=8).recipe(recipe)
    assert whole == replace(recipe, batch_size=8, noise_warmup=0.0)
    assert Adversarial(start_from="clean", lr=0.5).recipe(recipe).lr == 0.5
    assert Adversarial(start_from="clean").starts_clean and not Adversarial().starts_clean


@pytest.mark.parametrize("kind", [Adversarial, TRADES, BoneAdversarial])
def test_each_setting_changes_tag_and_identity(kind: type[Robust]) -> None:
    base = kind()
    others: dict[str, Any] = {"start_from": "clean", "norm": "rms", "mode": "eval" if kind is not TRADES else "train"}
    for name, value in vars(base).items():
        number = 3 if value is None or isinstance(value, int) else 0.5
        changed = kind(**{name: others.get(name, number)})
        assert changed.tag != base.tag and changed.identity() != base.identity(), name
    assert base.tag == base.name


@pytest.mark.parametrize(("key", "value"), [("eps", 0.0), ("steps", 0), ("mode", "both"), ("start_from", "x")])
def test_settings_out_of_range_are_refused(key: str, value: Any) -> None:
    with pytest.raises(SettingError, match=f"training.{key}="):
        Adversarial(**{key: value})
