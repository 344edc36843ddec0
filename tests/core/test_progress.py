"""Progress between items and within items."""

import io
import sys

import pytest
import torch
from torch import nn

from skeleton_adv.core import progress
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.progress import Progress, track
from skeleton_adv.defenses import none
from skeleton_adv.models.victim import Victim


class Zeros(nn.Module):
    def forward(self, x: torch.Tensor, context: object = None) -> torch.Tensor:
        return x.flatten(1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that tests can set."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_has_a_line_every_half_minute_with_the_time_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in track(range(6), 6, "reading"):
        clock[0] += 20
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "reading: 2 of 6, about 80 s left",
        "reading: 4 of 6, about 40 s left",
        "reading: 6 of 6, about 0 s left",
    ]


def test_a_long_item_shows_the_time_left_once_its_passes_are_known(
    clock: list[float], capsys: pytest.CaptureFixture[str], batch: SkeletonBatch
) -> None:
    watched = Progress("attack")
    view = Victim(Zeros(), none, "cpu", watched.pulse).view(batch, "attack", 0)
    for _ in watched.over(range(2), 2):
        for _ in range(4):
            clock[0] += 20
            view(batch.x)
    assert capsys.readouterr().err.splitlines() == [
        "attack: 0 of 2, 2 passes in the next",
        "attack: 0 of 2, 4 passes in the next",
        "attack: 1 of 2, about 40 s left, 2 of 4 passes in the next",
        "attack: 1 of 2, about 0 s left, 4 of 4 passes in the next",
    ]


def test_the_first_item_shows_the_time_left_if_its_passes_are_expected(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Progress("attack", passes=10)
    for _ in watched.over(range(3), 3):
        for _ in range(10):
            clock[0] += 100
            watched.pulse()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "attack: 0 of 3, about 48 min left, 1 of 10 passes in the next"
    assert lines[-1] == "attack: 2 of 3, about 0 s left, 10 of 10 passes in the next" and len(lines) == 30


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "BAR_SECONDS", 0.0)
    watched, seen = Progress("attack"), []
    for item in watched.over(iter("ab"), 2):
        seen.append(item)
        watched.pulse()
        watched.pulse()
    shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert seen == ["a", "b"] and "2 passes in the next" in shown and "0 s left, 1 of 2 passes" in shown
    assert "75%" in shown and "1.5 of 2" in shown and "2.0 of 2" in shown
