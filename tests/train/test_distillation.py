"""Defensive distillation: its loss, and that it masks gradients."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import make_batch
from torch import Tensor, nn

from skeleton_adv.attacks.losses import margin
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.data.clips import Prepared
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.train.distillation import Distillation, Distilled
from skeleton_adv.train.fit import fit
from skeleton_adv.train.recipe import Recipe

RECIPE = Recipe(epochs=3, batch_size=6, lr=3e-3, held_out=0.25, crop=1.0)


def build() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 20, 16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 27))


@pytest.fixture(scope="module")
def data(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[UTDMHAD, Prepared]:
    dataset = UTDMHAD(str(mat_folder), num_frames=16)
    return dataset, prepare(dataset, tmp_path_factory.mktemp("cache"))


def trained(
    data: Any, scratch: Path, recipe: Recipe = RECIPE, stop_after: int | None = None, temperature: float = 20.0
) -> Any:
    seen: list[str] = []

    def log(text: str) -> None:
        seen.append(text)
        if len(seen) == stop_after:
            raise KeyboardInterrupt

    places: dict[str, Any] = {"seed": 0, "device": "cpu", "scratch": scratch, "log": log}
    model, _ = fit(build, *data, RECIPE, **places, training=Distillation())
    return model


def test_the_loss_is_that_of_teacher_and_network() -> None:
    torch.manual_seed(0)
    training = Distillation(temperature=10.0)
    model = training.start(build(), UTDMHAD("", num_frames=16), 6).eval()
    batch = make_batch(n=6, t=16, m=1, skeleton=KINECT20, dtype=torch.float32)
    nn.init.normal_(model.network.get_submodule("4").weight)  # type: ignore[arg-type]
    z, t = model.network(batch.x) / 10, model.teacher(batch.x) / 10
    soft = F.kl_div(z.log_softmax(1), t.softmax(1), reduction="batchmean")
    entropy = -(t.softmax(1) * t.log_softmax(1)).sum(dim=1).mean()
    loss = training.loss(model, batch, RECIPE)
    torch.testing.assert_close(loss, 10 * (F.cross_entropy(t, batch.y) + soft + entropy))
    assert torch.equal(model(batch.x), model.network(batch.x)) and isinstance(model, Distilled)


def test_labels_reach_the_network_through_its_teacher_only() -> None:
    torch.manual_seed(0)
    training, gradients = Distillation(), []
    model = training.start(build(), UTDMHAD("", num_frames=16), 6).eval()
    batch = make_batch(n=6, t=16, m=1, skeleton=KINECT20, dtype=torch.float32)
    for y in (batch.y, batch.y + 1):
        model.zero_grad()
        training.loss(model, batch.with_labels(y), RECIPE).backward()
        own = [weight.grad.clone() for weight in model.network.parameters() if weight.grad is not None]
        taught = [weight.grad.clone() for weight in model.teacher.parameters() if weight.grad is not None]
        gradients.append((own, taught))
    (own, taught), (other, otherwise) = gradients
    assert all(torch.equal(*pair) for pair in zip(own, other, strict=True)) and len(own) == 4
    assert not torch.equal(taught[-1], otherwise[-1])


def test_a_killed_one_ends_with_the_same_weights(data: Any, tmp_path: Path) -> None:
    def flat(model: nn.Module) -> Tensor:
        return torch.cat([weight.flatten() for weight in model.state_dict().values()])

    whole = trained(data, tmp_path / "a")
    assert isinstance(whole, nn.Sequential)
    with pytest.raises(KeyboardInterrupt):
        trained(data, tmp_path / "b", stop_after=4)
    assert torch.equal(flat(trained(data, tmp_path / "b")), flat(whole))


def test_it_masks_the_gradient_of_the_cross_entropy_and_not_that_of_the_margin() -> None:
    torch.manual_seed(0)
    training, batch = Distillation(), make_batch(n=6, t=16, m=1, skeleton=KINECT20, dtype=torch.float32)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 20, 3))
    model = training.start(linear, UTDMHAD("", num_frames=16), 6)
    optimiser = torch.optim.Adam(model.parameters(), 0.1)
    for _ in range(150):
        training.step(model, optimiser, batch, RECIPE)
    x = batch.x.clone().requires_grad_()
    logits = model(x)
    (blind,) = torch.autograd.grad(F.cross_entropy(logits, batch.y, reduction="sum"), x, retain_graph=True)
    (seen,) = torch.autograd.grad(margin(logits, batch.y).sum(), x)
    assert (logits.argmax(dim=1) == batch.y).all() and (blind == 0).all()
    assert (seen.flatten(1).norm(dim=1) > 1).all()
