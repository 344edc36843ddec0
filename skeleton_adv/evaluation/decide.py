"""Certification at given radii: a clip is over once each radius is decided, and others take its part of a pass."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from skeleton_adv.certificates.radii import ABSTAIN, Certificate
from skeleton_adv.certificates.sequence import Decision, Seen
from skeleton_adv.certificates.smoothing import Smoothing
from skeleton_adv.evaluation.state import SAVE_SECONDS, load_counts, save_counts

Blocks = list[tuple[int, range]]  # places of clips, and draws of each


@dataclass(frozen=True)
class Deciding:
    """The draws of one chunk: ``count`` makes blocks of draws, and returns their counts (B, K + 1) on the CPU.

    A clip is decided after whole blocks of ``at_once`` draws, in order, so its row does not depend on other clips.
    """

    smoothing: Smoothing
    count: Callable[[Blocks], Tensor]

    def certificates(self, index: list[int], classes: list[int], state: Path) -> tuple[list[Certificate], list[int]]:
        """The certificates of clips with these candidate ``classes``, and how many draws each took.

        ``index`` has the numbers of all clips of the chunk, with its padding; ``state`` is the file of the counts, from
        which they resume.
        """
        how = self.smoothing
        decision = Decision(how.stop, how.sigma, how.n, how.alpha)
        stored = self._stored(index, state)
        seen = _seen(stored, classes, how.n)
        last_save = time.monotonic()
        while left := [place for place, one in enumerate(seen) if not decision.is_over(one)]:
            blocks = scheduled(left, [one.draws for one in seen], how)
            for (place, draws), found in zip(blocks, self.count(blocks), strict=True):
                if not decision.is_over(seen[place]):
                    decision.add(seen[place], int(found[classes[place]]), len(draws))
            if time.monotonic() - last_save > SAVE_SECONDS:
                values = {name: np.array([getattr(one, name) for one in seen]) for name in vars(Seen())}
                save_counts(state, stored | {"classes": np.array(classes)} | values)
                last_save = time.monotonic()
        return [self._certificate(decision, *one) for one in zip(classes, seen, strict=True)], [
            one.draws for one in seen
        ]

    def _stored(self, index: list[int], state: Path) -> dict[str, np.ndarray]:
        """The content of ``state`` if it belongs to these clips, otherwise a new one."""
        stored = load_counts(state)
        if stored is None or stored["index"].tolist() != index:
            return {"index": np.array(index)}
        return stored

    def _certificate(self, decision: Decision, pred: int, seen: Seen) -> Certificate:
        radius, p_low = decision.result(seen)
        return Certificate(pred if radius else ABSTAIN, radius, p_low)


def scheduled(left: list[int], done: list[int], how: Smoothing) -> Blocks:
    """The next blocks of the clips ``left``, in turn, until a pass is full; ``done`` has each clip's draws so far."""
    blocks: Blocks = []
    for turn in range(how.clips):
        for place in left:
            first = done[place] + turn * how.at_once
            if first < how.n and len(blocks) < how.clips:
                blocks.append((place, range(first, min(first + how.at_once, how.n))))
    return blocks


def _seen(stored: dict[str, np.ndarray], classes: list[int], n: int) -> list[Seen]:
    """The stored draws of the clips, if they are complete and of these classes; otherwise none."""
    empty = Seen()
    fits = all(
        name in stored and stored[name].shape == (len(classes),) and stored[name].dtype == np.array(value).dtype
        for name, value in {**vars(empty), "classes": 0}.items()
    )
    if not fits or stored["classes"].tolist() != classes:
        return [Seen() for _ in classes]
    found = [Seen(*values) for values in zip(*(stored[name].tolist() for name in vars(empty)), strict=True)]
    valid = all(0 <= one.hits <= one.draws <= n and 0 <= one.low <= 1 for one in found)
    return found if valid else [Seen() for _ in classes]
