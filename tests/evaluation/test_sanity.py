"""Signs of a weak attack, on victims that were built to show them."""

import pytest
import torch
from conftest import linear_case, make_batch
from samples import about, defended, six_rows, transfer
from torch import Tensor, nn

from skeleton_adv.core.batch import Context
from skeleton_adv.defenses import none
from skeleton_adv.evaluation.sanity import gradient_norm, noise_control, still_falling
from skeleton_adv.models.victim import Victim
from skeleton_adv.report.stats import Run, warnings
from skeleton_adv.report.weakness import signs


class Seen(nn.Module):
    """A linear victim behind a step that has no gradient, or behind nothing."""

    def __init__(self, linear: nn.Module, masked: bool) -> None:
        super().__init__()
        self.linear, self.masked = linear, masked

    def forward(self, x: Tensor, context: Context) -> Tensor:
        logits: Tensor = self.linear(x.mul(1e3).round().div(1e3) if self.masked else x)
        return logits


def test_a_masked_gradient_shows() -> None:
    linear, batch = linear_case(n=3)
    open_view, masked_view = (Victim(Seen(linear, m), none, "cpu").view(batch, "attack", 0) for m in (False, True))
    probability = linear(batch.x).softmax(dim=1)
    missing = probability - torch.nn.functional.one_hot(batch.y, 5)
    by_hand = (missing @ linear.weight).view_as(batch.x) * batch.movable
    torch.testing.assert_close(gradient_norm(open_view, batch), by_hand.flatten(1).norm(dim=1))
    assert gradient_norm(masked_view, batch).eq(0).all()


def test_what_still_falls_is_told_from_what_rests() -> None:
    y = torch.zeros(2, dtype=torch.long)
    steps = torch.linspace(5, 1, 100)
    answers = [torch.tensor([[float(s), 0.0], [max(float(s), 3.0), 0.0]]) for s in steps]
    assert still_falling(answers, y, False).tolist() == [True, False]
    assert not still_falling(answers[:1], y, False).any()


def test_the_control_spends_what_the_attack_spent() -> None:
    batch = make_batch(n=3)
    x_adv = batch.x + torch.tensor([0.1, 0.0, 0.7], dtype=batch.x.dtype).view(-1, 1, 1, 1, 1) * batch.movable
    moved = noise_control(x_adv, batch, 0) - batch.x
    torch.testing.assert_close(moved.flatten(1).norm(dim=1), (x_adv - batch.x).flatten(1).norm(dim=1))
    assert not moved[~batch.movable].any() and not moved[1].any()


def changed(**columns: object) -> Run:
    return Run(about(), six_rows().assign(gradient=1.0, **columns))


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (changed(), []),
        (changed(falling=[False] * 5 + [True]), ["1 of 2 failures were still getting nearer"]),
        (changed(adv_pred=-1), ["6 of 6 clips diverged"]),
        (changed(control_share=1.0), ["Gaussian noise of the same l2"]),
        (Run(about(), six_rows().assign(gradient=[0, 1, 1, 1, 1, 5e3])), ["no gradient", "over 1000 a metre"]),
        (Run(about(), six_rows().assign(gradient=[1, 1, 1, 1, 1, float("nan")])), ["over 1000 a metre"]),
        (Run(about(), six_rows().assign(gradient=[1e-6, 1e-6, 1e-6, 1e-6, 1e-6, 5])), []),
        (Run(transfer("hcn", 0.1).about, changed(falling=[False] * 5 + [True]).records), []),
    ],
)
def test_each_sign_is_said_once(run: Run, words: list[str]) -> None:
    found = warnings(run)
    assert len(found) == len(words) and all(word in text for word, text in zip(words, found, strict=True))


def test_noise_without_its_average_is_said() -> None:
    run = defended(0.01, True, 0.5)
    run.about["settings"]["defense"]["eot"] = 1
    assert any("averages over none" in text for text in warnings(run))


def test_an_attack_that_a_blind_one_beats_is_said_to_be_weak() -> None:
    adaptive, unaware = (defended(0.01, sees, 0.5) for sees in (True, False))
    adaptive.records["success_share"], unaware.records["success_share"] = 0.25, 0.75
    (said,) = signs(adaptive, [adaptive, unaware])
    assert said.startswith("4.5 of 6 clips fall to an attack that did not see the victim") and "1.5 to this one" in said
    assert not signs(unaware, [adaptive, unaware])
    assert not signs(adaptive, [adaptive, defended(0.02, False, 0.5)])  # behind another defense
    weak, made_elsewhere = Run(about(), six_rows().assign(success_share=0.0)), transfer("hcn", 0.1)
    made_elsewhere.about["settings"]["surrogate_checkpoint"] = "other weights"
    assert "0 to this one" in signs(weak, [weak, made_elsewhere])[0]
    made_elsewhere.about["settings"].pop("surrogate_checkpoint")  # the victim's own
    assert not signs(weak, [weak, made_elsewhere])
    made_elsewhere.about["settings"]["surrogate_checkpoint"] = "other weights"
    weak.about["settings"]["attack"] = {"path": "elsewhere"}  # no white box
    assert not signs(weak, [weak, made_elsewhere])
    unaware.records["l2"] += 1  # it only spent more
    assert not signs(adaptive, [adaptive, unaware])
