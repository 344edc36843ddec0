"""Certificates of a victim with known margins: they are sound, resume within a clip, and abstain on NaN."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm
from torch import Tensor, nn

from skeleton_adv.certificates.radii import ABSTAIN, clopper_pearson, least_draws
from skeleton_adv.certificates.sequence import Decision, Seen
from skeleton_adv.certificates.smoothing import Smoothing
from skeleton_adv.core.batch import Context
from skeleton_adv.core.errors import SettingError
from skeleton_adv.data.clips import hashed_order, load_batch
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.defenses import none
from skeleton_adv.evaluation import certify as certification
from skeleton_adv.evaluation import decide as deciding
from skeleton_adv.evaluation import state
from skeleton_adv.evaluation.certify import Certification
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.schema import BODY_TERMS, CERTIFICATE

FRAMES, HAND = 16, 7


class Height(nn.Module):
    """Predicts whether a hand is above ``height`` on average; the third of the three classes is never predicted."""

    def __init__(self, height: float = 0.0) -> None:
        super().__init__()
        self.height = height

    def forward(self, x: Tensor, context: Context) -> Tensor:
        up = x[:, 1, :, HAND, 0].mean(dim=1) - self.height
        return torch.stack([up, -up, torch.full_like(up, -9.0)], dim=1)


class Broken(nn.Module):
    """A network with one weight that is not finite."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * FRAMES * 20, 3)
        with torch.no_grad():
            self.fc.bias[1] = weight

    def forward(self, x: Tensor, context: Context) -> Tensor:
        logits: Tensor = self.fc(x.flatten(1))
        return logits


@pytest.fixture
def parts(mat_folder: Path, tmp_path: Path) -> Any:
    dataset = UTDMHAD(str(mat_folder), num_frames=FRAMES, num_actions=3)
    prepared = prepare(dataset, tmp_path / "cache")
    smoothing = Smoothing(sigma=0.5, n0=20, n=200, clips=5, at_once=7)
    return Certification(dataset, prepared, Victim(Height(), none, "cpu"), smoothing, seed=0)


def changed(parts: Certification, **changes: Any) -> Certification:
    return Certification(**{**vars(parts), **changes})


def rows(parts: Certification, state: Path, done: set[int] = frozenset()) -> list[dict[str, Any]]:  # type: ignore[assignment]
    found: list[dict[str, Any]] = []
    order = hashed_order(parts.prepared.clips, "test")
    parts.run(order, set(done), found.extend, lambda places, _: places, state)
    return found


def key(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "seconds"}


def heights(parts: Certification) -> dict[int, float]:
    """Clip -> mean height of the hand in the clip that the victim sees."""
    order = hashed_order(parts.prepared.clips, "test")
    x = load_batch(parts.dataset, parts.prepared, order).x.numpy().astype(np.float64)
    return dict(zip(order, x[:, 1, :, HAND, 0].mean(axis=1).tolist(), strict=True))


def test_a_row_has_the_columns_of_its_kind(parts: Certification, tmp_path: Path) -> None:
    kinds = {"int": int, "float": float, "bool": bool, "text": str}
    found = rows(parts, tmp_path / "a.npz")
    assert parts.columns == {**CERTIFICATE.columns, **BODY_TERMS} and len(found) == 12
    for row in found:
        assert list(row) == list(parts.columns)
        assert all(type(row[name]) is kinds[kind] for name, kind in parts.columns.items())


def test_a_kill_within_a_clip_loses_and_repeats_no_count(
    parts: Certification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The victim sometimes has no prediction; the counts of these draws survive too."""
    parts = changed(parts, victim=Victim(Moody(), none, "cpu"))
    whole = rows(parts, tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists() and len(whole) == 12
    monkeypatch.setattr(state, "SAVE_SECONDS", -1.0)
    count, seen = certification.count_classes, []

    def killed(*arguments: Any, **settings: Any) -> Tensor:
        seen.append(settings["draws"])
        if len(seen) == 15:
            raise KeyboardInterrupt
        return count(*arguments, **settings)

    monkeypatch.setattr(certification, "count_classes", killed)
    with pytest.raises(KeyboardInterrupt):
        rows(parts, tmp_path / "b.npz")
    held = dict(np.load(tmp_path / "b.npz"))
    assert held["estimation"].shape == (5, 4) and held["estimation"][:, -1].min() > 0
    assert (held["estimation"].sum(axis=1) == held["estimation_done"]).all()
    (tmp_path / "cut.npz").write_bytes((tmp_path / "b.npz").read_bytes()[:100])
    assert [*map(key, rows(parts, tmp_path / "cut.npz"))] == [*map(key, whole)]
    # A file of an earlier version has no column for draws without a prediction, so counting starts again.
    old = {name: values[:, :-1] if values.ndim == 2 else values for name, values in held.items()}
    np.savez(tmp_path / "old.npz", **old)
    assert [*map(key, rows(parts, tmp_path / "old.npz"))] == [*map(key, whole)]
    wrong = held | {"estimation": held["estimation"] + 1}
    np.savez(tmp_path / "wrong.npz", **wrong)
    assert [*map(key, rows(parts, tmp_path / "wrong.npz"))] == [*map(key, whole)]
    del seen[15:]
    assert [*map(key, rows(parts, tmp_path / "b.npz"))] == [*map(key, whole)]
    chunks = -(-12 // 5)
    passes = chunks * (-(-20 // 7) + -(-200 // 7))
    assert len(seen) == passes + 1  # only the killed pass is computed twice


class Moody(nn.Module):
    """Predicts from the height of a hand, but returns NaN if another joint is low, which noise sometimes causes."""

    def forward(self, x: Tensor, context: Context) -> Tensor:
        mean = x[:, 1, :, (HAND, 11), 0].mean(dim=1)
        up = torch.where(mean[:, 1] < mean[:, 1].median() - 0.15, torch.nan, mean[:, 0])
        return torch.stack([up, -up, torch.full_like(up, -9.0)], dim=1)


def exact_probability(distance: float, sigma: float) -> float:
    """The probability that noise does not change the prediction: a mean over T frames has deviation sigma / sqrt(T)."""
    return float(norm.cdf(math.sqrt(FRAMES) * distance / sigma))


@pytest.mark.parametrize("n", [100, 2000])
def test_radii_are_below_and_near_the_exact_margin(parts: Certification, tmp_path: Path, n: int) -> None:
    """End to end: the boundary of a linear victim, smoothed or not, is at a distance of sqrt(T) times the height.

    Each row is compared with the distribution of its count: the radius is sigma Phi^-1 of the bound at a count
    that is likely under the exact probability. No radius may exceed the margin, which happens with probability
    alpha per clip, and each radius must reach the fraction of the margin that 9,999 of 10,000 clips would reach.
    """
    middle = float(np.median([*heights(parts).values()]))
    how = Smoothing(sigma=0.5, n0=50, n=n, alpha=0.001, clips=4, at_once=50)
    parts = changed(parts, victim=Victim(Height(middle), none, "cpu"), smoothing=how)
    away = {index: abs(height - middle) for index, height in heights(parts).items()}
    spread = np.array(sorted(math.sqrt(FRAMES) * d / how.sigma for d in away.values()))
    assert spread[0] > 0.05 and spread[-1] < 6  # neither too close to the boundary nor too far from it
    certified = 0
    for row in rows(parts, tmp_path / "a.npz"):
        margin, p = math.sqrt(FRAMES) * away[row["index"]], exact_probability(away[row["index"]], how.sigma)
        assert row["radius"] < margin
        unlucky = int(binom.ppf(1e-4, n, p))
        least = clopper_pearson(unlucky, n, how.alpha)
        if least > 0.5:
            assert row["pred"] == int(heights(parts)[row["index"]] < middle)
            assert row["radius"] >= how.sigma * norm.ppf(least) > 0
        if n == 2000 and 0.3 < margin / how.sigma < 2.5:
            certified += 1
            assert row["radius"] > 0.6 * margin  # a stated fraction, where the draws suffice
        assert row["rms_mm"] == pytest.approx(1000 * row["radius"] / (FRAMES * 20) ** 0.5)
        assert row["abstained"] == (row["pred"] == ABSTAIN) == (row["radius"] == 0) and row["draws"] == 50 + n
        assert row["correct"] == (row["pred"] == row["label"])
    assert n < 2000 or certified >= 3


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf])
def test_a_victim_with_non_finite_logits_is_never_certified(
    parts: Certification, tmp_path: Path, weight: float
) -> None:
    """With one such weight, argmax would be class 0 or 1 for every clip, with the largest possible radius."""
    found = rows(changed(parts, victim=Victim(Broken(weight), none, "cpu")), tmp_path / "a.npz")
    assert {row["label"] for row in found} == {0, 1, 2}
    for row in found:
        assert (row["pred"], row["radius"], row["p_low"], row["abstained"]) == (ABSTAIN, 0.0, 0.0, True)
        assert (row["paper_pred"], row["paper_radius"]) == (ABSTAIN, -1.0)
        assert not row["correct"] and not row["clean_correct"]


def test_draws_without_a_prediction_count_against_the_class(parts: Certification, tmp_path: Path) -> None:
    """The standard radius equals that of a victim that predicts a wrong class in these draws."""
    parts = changed(parts, smoothing=Smoothing(sigma=0.5, n0=200, n=200, clips=5, at_once=40))

    class Sometimes(Height):
        instead = (math.nan, math.nan, math.nan)

        def forward(self, x: Tensor, context: Context) -> Tensor:
            logits = super().forward(x, context)
            silent = (x[:, 1, :, 11, 0].mean(dim=1) * 1e4).frac().abs() < 0.3  # three draws in ten
            return torch.where(silent[:, None], logits.new_tensor(self.instead), logits)

    class Contrary(Sometimes):
        instead = (-9.0, -9.0, 9.0)

    silent, contrary = (
        rows(changed(parts, victim=Victim(kind(), none, "cpu")), tmp_path / "a.npz") for kind in (Sometimes, Contrary)
    )
    plain = rows(parts, tmp_path / "a.npz")
    standard = ("pred", "radius", "p_low", "abstained", "correct")
    assert [[row[name] for name in standard] for row in silent] == [
        [row[name] for name in standard] for row in contrary
    ]
    assert all(a["p_low"] <= b["p_low"] for a, b in zip(silent, plain, strict=True))
    assert any(0 < a["radius"] < b["radius"] for a, b in zip(silent, plain, strict=True))
    paper = [row["paper_radius"] for row in silent if row["paper_radius"] >= 0]
    assert paper and max(paper) < max(row["paper_radius"] for row in plain)


def test_the_certificate_abstains_on_a_clip_without_joints(
    parts: Certification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, loaded = rows(parts, tmp_path / "a.npz"), certification.load_batch

    def emptied(*arguments: Any) -> Any:
        batch = loaded(*arguments)
        batch.mask[batch.index == usual[3]["index"]] = False
        return batch

    monkeypatch.setattr(certification, "load_batch", emptied)
    found = rows(parts, tmp_path / "b.npz")
    assert [*map(key, found[:3] + found[4:])] == [*map(key, usual[:3] + usual[4:])]
    assert found[3]["abstained"] and not found[3]["correct"] and found[3]["radius"] == found[3]["rms_mm"] == 0.0
    assert found[3]["paper_radius"] == -1.0


RADII = (0.05, 0.4, 0.9)


def test_decided_radii_are_those_of_single_clips_and_resume(
    parts: Certification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row is that of the same draws one by one, independent of other clips, and a kill repeats one pass."""
    middle = float(np.median([*heights(parts).values()]))
    how = Smoothing(sigma=0.5, n0=20, n=200, clips=5, at_once=7, stop=RADII)
    parts = changed(parts, victim=Victim(Height(middle), none, "cpu"), smoothing=how)
    whole = rows(parts, tmp_path / "a.npz")
    assert {row["radius"] for row in whole} >= {0.0, 0.05, 0.4} and not (tmp_path / "a.npz").exists()
    assert all(row["abstained"] == (row["radius"] == 0) for row in whole)
    assert all(math.isnan(row["paper_radius"]) and row["paper_pred"] == ABSTAIN for row in whole)
    decision = Decision(RADII, 0.5, 200, 0.001, 7)
    for row in whole:
        batch = load_batch(parts.dataset, parts.prepared, [row["index"]] * 5)
        pred = int(parts._count(batch, "selection", range(20))[0, :-1].argmax())
        seen_so_far = Seen()
        while not decision.is_over(seen_so_far):
            block = range(seen_so_far.draws, min(seen_so_far.draws + 7, 200))
            decision.add(seen_so_far, int(parts._count(batch, "estimation", block)[0, pred]), len(block))
        assert (row["radius"], row["draws"]) == (decision.result(seen_so_far)[0], 20 + seen_so_far.draws)
        assert row["p_low"] == decision.result(seen_so_far)[1] and row["pred"] == (pred if row["radius"] else ABSTAIN)
    assert np.mean([row["draws"] for row in whole]) < 150
    monkeypatch.setattr(state, "SAVE_SECONDS", -1.0)
    count, seen = certification.count_blocks, []

    def killed(*arguments: Any, **settings: Any) -> Tensor:
        seen.append(len(arguments[2]))
        if len(seen) == 6:
            raise KeyboardInterrupt
        return count(*arguments, **settings)

    monkeypatch.setattr(certification, "count_blocks", killed)
    with pytest.raises(KeyboardInterrupt):
        rows(parts, tmp_path / "b.npz")
    held = dict(np.load(tmp_path / "b.npz"))
    np.savez(tmp_path / "wrong.npz", **held | {"hits": held["draws"] + 1})
    monkeypatch.setattr(certification, "count_blocks", count)
    seen.clear()
    for name in ("b", "wrong"):
        found = rows(parts, tmp_path / f"{name}.npz")
        assert [*map(str, map(key, found))] == [*map(str, map(key, whole))]


def test_a_pass_is_filled_with_blocks_of_the_clips_that_are_left() -> None:
    how = Smoothing(n=30, clips=4, at_once=8, stop=(0.1,))
    blocks = deciding.scheduled([1, 3], [8, 8, 30, 16], how)
    assert blocks == [(1, range(8, 16)), (3, range(16, 24)), (1, range(16, 24)), (3, range(24, 30))]
    assert deciding.scheduled([0], [24, 0, 0, 0], how) == [(0, range(24, 30))]


def test_the_smallest_number_of_draws() -> None:
    assert least_draws(0.001) == 10
    with pytest.raises(SettingError, match=r"smoothing\.alpha=0\.7 is out of range"):
        Smoothing(alpha=0.7)
