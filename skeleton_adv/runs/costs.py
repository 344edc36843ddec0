"""What a job will take, estimated from what similar jobs took. Imports no torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from skeleton_adv.runs.progress import Progress

JUDGING = 4  # passes per chunk besides an attack's own: clean, adversarial, noise, gradient


@dataclass(frozen=True)
class Work:
    """What decides the cost of a clip: the method, and the network that it calls, on clips of which shape, where.

    ``passes`` of the network per chunk; None if they are not known.
    """

    kind: str  # of its rows
    method: str  # an attack or a detector
    network: str
    surrogate: bool  # whether the network is a surrogate, whose clips may have been made for another victim
    defense: str
    dataset: str
    num_frames: int
    device: str
    passes: float | None

    @classmethod
    def of(cls, kind: str, facts: Mapping[str, Any], passes: float | None) -> "Work":
        """The work of a run, from the facts in its ``run.json`` or ``begun.json``."""
        choices = facts.get("choices")
        choices = choices if isinstance(choices, dict) else {}
        surrogate = choices.get("model@surrogate")
        return cls(
            kind=kind,
            method=str(choices.get("detector" if kind == "detection" else "attack")),
            network=str(surrogate or choices.get("model")),
            surrogate=bool(surrogate),
            defense=str(choices.get("defense")),
            dataset=str(facts.get("dataset")),
            num_frames=int(facts.get("num_frames") or 0),
            device=str(facts.get("device")).partition(":")[0],
            passes=passes,
        )

    @property
    def alike(self) -> tuple[object, ...]:
        """Work with an equal value takes the same time per clip and pass."""
        return self.kind, self.method, self.surrogate, self.defense, *self.place

    @property
    def place(self) -> tuple[object, ...]:
        """Work with an equal value takes about the same time per pass."""
        return self.network, self.dataset, self.num_frames, self.device


class Costs:
    """Seconds per clip of runs that exist, finished or not."""

    def __init__(self, runs: Iterable[Progress]) -> None:
        self._known = [(_work(run), run.per_clip) for run in runs if run.per_clip]

    def per_clip(self, wanted: Work) -> tuple[float, int] | None:
        """Seconds per clip, and the number of runs that they are estimated from; None if no run is similar enough.

        From runs of the same method on the same network; if there are none, from any run of an attack on this network
        whose passes are known.
        """
        alike = [(work, seconds) for work, seconds in self._known if work.alike == wanted.alike]
        if alike:
            return fmean(seconds * _ratio(wanted, work) for work, seconds in alike), len(alike)
        near = [
            seconds / work.passes
            for work, seconds in self._known
            if work.passes
            and work.kind == wanted.kind == "attack"
            and work.place == wanted.place
            and not work.surrogate
        ]
        if not near or wanted.passes is None:
            return None
        return fmean(near) * wanted.passes, len(near)


def _ratio(wanted: Work, known: Work) -> float:
    return wanted.passes / known.passes if wanted.passes and known.passes else 1.0


def _work(run: Progress) -> Work:
    stated = run.facts.get("passes")
    passes = run.forwards + JUDGING if run.forwards is not None else stated
    return Work.of(run.kind, run.facts, passes if isinstance(passes, int | float) else None)
