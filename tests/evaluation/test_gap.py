"""Verdicts on victims whose exact margins are known, in metres, in bone lengths and in yaw: both ends are sound."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_batch
from torch import Tensor, nn

from skeleton_adv.attacks.bone_length import bone_length
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.attacks.yaw import yaw
from skeleton_adv.certificates.radii import ABSTAIN
from skeleton_adv.certificates.smoothed import MeanSoftmax, predict
from skeleton_adv.certificates.smoothing import Smoothing
from skeleton_adv.certificates.space import Joints
from skeleton_adv.certificates.spaces import space_of
from skeleton_adv.constraints import Ball, BoneFactor, Constraint, View
from skeleton_adv.core.batch import Context
from skeleton_adv.core.geometry import bone_lengths
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.data.clips import hashed_order, load_batch
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.defenses import none
from skeleton_adv.evaluation.certify import Certification
from skeleton_adv.evaluation.gap import Gap, verdict
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.schema import GAP

FRAMES, HAND, N = 16, 7, 400
Feature = Callable[[Tensor], Tensor]


def displacement(x: Tensor) -> Tensor:
    """A linear feature (N,) whose gradient has length 1."""
    return x[:, 1, :, HAND, 0].mean(dim=1) * math.sqrt(FRAMES)


def logs(x: Tensor) -> Tensor:
    """The logarithms of bone lengths, with weights of length 1."""
    return bone_lengths(x, KINECT20)[:, 0, 0].log().sum(dim=1) / math.sqrt(19)


def heading(x: Tensor) -> Tensor:
    """The direction of the hand from the root, in radians."""
    side = x[:, :, 0, HAND, 0] - x[:, :, 0, KINECT20.root, 0]
    return torch.atan2(side[:, 0], side[:, 2])


class Known(nn.Module):
    """Predicts the label of a clip while its feature exceeds a threshold, which is ``margin`` below the clean value.

    Every third clip has a margin that is negative, so that it is wrong before, or small, or large.
    """

    def __init__(self, feature: Feature, small: float, large: float, parts: Any) -> None:
        super().__init__()
        dataset, prepared, order = parts
        batch = load_batch(dataset, prepared, order)
        margins = torch.tensor([(-large, small, large)[place % 3] for place in range(len(order))])
        self.feature, self.count = feature, max(order) + 1
        self.margins, self.labels = torch.zeros(self.count), torch.zeros(self.count).long()
        self.clean, self.margins[batch.index], self.labels[batch.index] = torch.zeros(self.count), margins, batch.y
        self.clean[batch.index] = feature(batch.x)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        above = self.feature(x) - self.clean[context.index]
        above = (above + math.pi) % (2 * math.pi) - math.pi if self.feature is heading else above
        true = 10 * (above + self.margins[context.index])
        labels = self.labels[context.index]
        other = torch.full((len(x), 3), -50.0)
        return other.scatter(1, labels[:, None], true[:, None]).scatter(1, ((labels + 1) % 3)[:, None], -true[:, None])


CASES: Mapping[str, tuple[Feature, float, float, float, dict[str, Constraint], Any]] = {
    # feature, sigma, small and large margin, limits, attack
    "joints": (
        displacement,
        0.2,
        0.03,
        0.6,
        {"ball": Ball("l2", 0.2)},
        partial(pgd, norm="l2", eps=0.2, step=0.1, steps=6, loss="margin"),
    ),
    "bones": (logs, 0.3, 0.05, 1.2, {"bone_factor": BoneFactor(0.1)}, partial(bone_length, steps=12)),
    "yaw": (heading, 0.15, 0.03, 0.6, {"view": View(10.0)}, partial(yaw, degrees=10.0, angles=4, halvings=1)),
}


@pytest.fixture(scope="module")
def parts(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    dataset = UTDMHAD(str(mat_folder), num_frames=FRAMES, num_actions=3)
    prepared = prepare(dataset, tmp_path_factory.mktemp("gap"))
    return dataset, prepared, hashed_order(prepared.clips, "test")


def made(parts: Any, space: str, **changes: Any) -> Gap:
    feature, sigma, small, large, limits, attack = CASES[space]
    network = Known(feature, small, large, parts)
    how = Smoothing(sigma=sigma, n0=20, n=N, clips=6, at_once=50, space=space)
    noise: dict[str, Any] = {"space": space_of(how), "sigma": sigma, "draws": 8}
    attacked = Victim(network, lambda one: MeanSoftmax(one, **noise), "cpu")
    certification = Certification(*parts[:2], Victim(network, none, "cpu"), how, seed=0)
    return Gap(certification, attacked, attack, limits, **{"confidence": 1.0, **changes})


def rows(gap: Gap, parts: Any, folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    gap.run(parts[2], set(), found.extend, lambda places, _: places, folder / "counts.npz")
    return found


@pytest.mark.parametrize("space", list(CASES))
def test_clips_are_attacked_or_certified_as_their_margins_say_and_never_both(
    space: str, parts: Any, tmp_path: Path
) -> None:
    """The smoothed victim changes its class exactly where the feature has fallen by the margin."""
    gap = made(parts, space)
    found, expected = rows(gap, parts, tmp_path), ("wrong", "attacked", "certified")
    assert len(found) == 12 and all([*row] == [*GAP.columns] for row in found)
    for place, row in enumerate(found):
        margin = (-1.0, *CASES[space][2:4])[place % 3]
        assert row["verdict"] == expected[place % 3] and not (row["attacked"] and row["certified"]), row
        assert row["feasible"] and row["length"] <= row["bound"] * (1 + 1e-5)
        assert row["radius"] <= margin or row["verdict"] == "wrong"
        if row["verdict"] == "attacked":
            assert row["length"] > margin
            assert row["length"] > margin + 0.1 * CASES[space][1]  # the attack goes on beyond the first success


def test_a_clip_that_is_neither_is_unknown_and_runs_share_certificates(parts: Any, tmp_path: Path) -> None:
    """With little noise the radius is too short; an attack that does not move finds nothing."""
    shared: dict[tuple[int, ...], Any] = {}
    gap = made(parts, "joints", certificates=shared)
    how = Certification(
        **{**vars(gap.certification), "smoothing": Smoothing(sigma=0.05, n0=20, n=60, clips=6, at_once=50)}
    )
    idle = partial(pgd, norm="l2", eps=1e-6, step=1e-7, steps=1)
    found = rows(Gap(how, gap.attacked, idle, gap.constraints, 1.0, shared), parts, tmp_path)
    assert [row["verdict"] for row in found[:3]] in (["wrong", "abstains", "unknown"], ["wrong", "unknown", "unknown"])
    assert len(shared) == 2
    for values in shared.values():
        for row in values:
            row["radius"] = 0.123
    again = rows(Gap(how, gap.attacked, idle, gap.constraints, 1.0, shared), parts, tmp_path)
    assert {row["radius"] for row in again} == {0.123}


def test_an_infeasible_clip_is_never_attacked(parts: Any, tmp_path: Path) -> None:
    beyond = partial(pgd, norm="l2", eps=0.4, step=0.2, steps=6, loss="margin")
    found = rows(Gap(**{**vars(made(parts, "joints")), "attack": beyond}), parts, tmp_path)
    assert not any(row["attacked"] for row in found) and any(not row["feasible"] for row in found)
    assert any(row["adv_pred"] not in (ABSTAIN, row["label"]) for row in found)


def test_verdicts_by_hand() -> None:
    base = {"label": 1, "pred": 1, "radius": 0.3, "bound": 0.2, "feasible": True, "adv_pred": 1}
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "certified"),
        ({"bound": 0.3}, "unknown"),
        ({"bound": math.inf}, "unknown"),
        ({"bound": 0.3, "adv_pred": 2}, "attacked"),
        ({"bound": 0.3, "adv_pred": 2, "feasible": False}, "unknown"),
        ({"bound": 0.3, "adv_pred": ABSTAIN}, "unknown"),
        ({"adv_pred": 2}, "both"),
        ({"pred": ABSTAIN, "radius": 0.0}, "abstains"),
        ({"pred": ABSTAIN, "radius": 0.0, "adv_pred": 2}, "attacked"),
        ({"pred": 2}, "wrong"),
        ({"pred": 2, "adv_pred": 2}, "wrong"),
    ]
    for changes, expected in cases:
        assert verdict(base | changes)["verdict"] == expected, changes


def test_a_prediction_needs_a_clear_majority_over_the_second_class() -> None:
    for counts, expected in (
        ([700, 300, 0, 0], 0),
        ([540, 460, 0, 0], ABSTAIN),
        ([0, 300, 200, 500], ABSTAIN),  # most draws have no class
        ([0, 560, 0, 440], 1),
        ([0, 530, 0, 470], ABSTAIN),
    ):
        assert predict(torch.tensor(counts), 0.001) == expected


def test_the_mean_softmax_is_that_of_the_victim_under_the_noise() -> None:
    """Two calls have other noise; the mean over draws does not depend on how many are made at once."""
    batch = make_batch(n=3, t=2, dtype=torch.float32)

    class Two(nn.Module):
        def forward(self, x: Tensor, context: Context) -> Tensor:
            assert context.mask.shape[0] == len(x)
            up = x[:, 1].mean(dim=(1, 2, 3))
            return torch.stack([up, -up], dim=1)

    smoothed = MeanSoftmax(Two(), space=Joints(), sigma=0.5, draws=4)
    context = Context(batch.mask, batch.movable, batch.index, 0, "attack", batch.skeleton)
    x = batch.x.clone().requires_grad_()
    first = smoothed(x, context)
    assert torch.allclose(first.exp().sum(dim=1), torch.ones(3), atol=1e-5)
    (gradient,) = torch.autograd.grad(first[:, 0].sum(), x)
    assert gradient.abs().sum() > 0
    one = MeanSoftmax(Two(), space=Joints(), sigma=0.5, draws=1)
    each = [one(batch.x, replace(context, draw=number)) for number in range(4)]
    assert torch.allclose(torch.stack(each).exp().mean(dim=0).log(), first, atol=1e-5)
