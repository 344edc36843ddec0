"""Chunks of clips through an attack in stages: clips that are done leave, and others take their places."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model
from skeleton_adv.attacks.stages import Staged, State, joined, rows_of
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.evaluation.state import Arrays, Due, load_state, save_state
from skeleton_adv.models.victim import View

AHEAD = 4  # chunks begun and not ended
KEPT = {"index", "forwards", "gradients", "lengths", "margins", "state done", "state stage"}
PER_CLIP = ("x", "y", "mask", "index", "dt", "place")


@dataclass
class Clip:
    """A clip on its way through the stages."""

    batch: SkeletonBatch  # of this clip only
    state: State  # likewise
    done: bool
    stage: int
    margins: list[float] = field(default_factory=list)  # of its passes
    forwards: int = 0
    gradients: int = 0


@dataclass(frozen=True)
class Finished:
    """An attack's result on the clips of one chunk, and what it saw and took of each."""

    result: AttackResult
    margins: Sequence[list[float]]  # of each clip
    forwards: Tensor  # (N,)
    gradients: Tensor  # (N,)


@dataclass(frozen=True)
class Slots:
    """Takes chunks through the stages, in passes over always ``size`` clips.

    A clip's result is that of ``Staged.whole`` on its own chunk, bit for bit, because a network's rounding depends on
    the shape of a pass but not on the other clips, and draws are numbered by the clip's own passes. The stage that is
    furthest ahead and has ``size`` clips comes first, then the next chunk; once ``AHEAD`` chunks are begun, and at the
    end, the least advanced stage.

    The clips on their way are regularly saved in the file ``path``, from which a later process continues: a kill loses
    half a minute and a stage at most.
    """

    staged: Staged
    view: Callable[[SkeletonBatch, int], View]  # (clips, the number of their first draw) -> the attacked network
    limited: Callable[[View], Model]
    margin: Callable[[Tensor, Tensor], Tensor]  # logits (N, K), labels (N,) -> (N,)
    size: int
    path: Path | None = None

    def run(self, chunks: Iterable[tuple[SkeletonBatch, int]]) -> Iterator[Finished]:
        """The results on ``chunks``, in order; each is a batch of ``size`` clips, and how many are no padding."""
        source, waiting, due = iter(chunks), list[Clip](), Due()
        stored = _stored(self.path)
        open_chunks: dict[int, list[Clip]] = {}
        begun = ended = 0
        more = True
        while True:
            while ended in open_chunks and all(clip.done for clip in open_chunks[ended]):
                yield self._finished(open_chunks.pop(ended))
                ended += 1
            group = self._next(waiting, full=more and len(open_chunks) < AHEAD)
            if group is None and more:
                following = next(source, None)
                more = following is not None
                if following is not None:
                    open_chunks[begun] = self._continued(*following, stored) or self._begun(*following)
                    waiting += [clip for clip in open_chunks[begun] if not clip.done]
                    begun += 1
            elif group is None:
                return
            else:
                self._advance(group)
                waiting = [clip for clip in waiting if not clip.done]
                if self.path and due:
                    save_state(self.path, _arrays([clip for clips in open_chunks.values() for clip in clips]))
                    due.saved()

    def _next(self, waiting: Sequence[Clip], full: bool) -> list[Clip] | None:
        """The clips of the next pass; with ``full``, only a whole pass is worth taking."""
        kinds: dict[int, list[Clip]] = {}
        for clip in waiting:
            kinds.setdefault(self.staged.kind(clip.stage), []).append(clip)
        ready = [kind for kind, clips in kinds.items() if len(clips) >= self.size]
        if ready:
            return kinds[max(ready)][: self.size]
        return None if full or not kinds else kinds[min(kinds)]

    def _begun(self, batch: SkeletonBatch, count: int) -> list[Clip]:
        view = self.view(batch, 0)
        state = self.staged.begin(self.limited(view), batch)
        done, stages = state["done"].tolist(), state["stage"].tolist()
        clips = [
            Clip(clips_of(batch, slice(row, row + 1)), rows_of(state, slice(row, row + 1)), done[row], stages[row])
            for row in range(count)
        ]
        self._count(clips, view, batch)
        return clips

    def _continued(self, batch: SkeletonBatch, count: int, stored: Mapping[int, Arrays]) -> list[Clip]:
        """The clips of a chunk as an earlier process has left them; none if it has not begun them all."""
        numbers = batch.index[:count].tolist()
        if not stored.keys() >= {*numbers}:
            return []
        return [_clip_of(clips_of(batch, slice(row, row + 1)), stored[n]) for row, n in enumerate(numbers)]

    def _advance(self, clips: Sequence[Clip]) -> None:
        """One stage of these clips, which are repeated in turn until there are ``size``."""
        padded = [clips[i % len(clips)] for i in range(self.size)]
        batch = _batch_of([clip.batch for clip in padded])
        view = self.view(batch, clips[0].forwards)
        state = self.staged.advance(self.limited(view), batch, joined([clip.state for clip in padded]))
        done, stages = state["done"].tolist(), state["stage"].tolist()
        for row, clip in enumerate(clips):
            clip.state, clip.done, clip.stage = rows_of(state, slice(row, row + 1)), done[row], stages[row]
        self._count(clips, view, batch)

    def _count(self, clips: Sequence[Clip], view: View, batch: SkeletonBatch) -> None:
        """Add what a view saw to its clips, the first of which are the first of its rows."""
        seen = [(self.margin(answer, batch.y).tolist(), view.payers[k]) for k, answer in enumerate(view.answers)]
        margins = [(values, None if payers is None else payers.tolist()) for values, payers in seen]
        forwards, gradients = (counts.tolist() for counts in view.own_passes(batch.y))
        for row, clip in enumerate(clips):
            clip.margins += [values[row] for values, payers in margins if payers is None or payers[row]]
            clip.forwards, clip.gradients = clip.forwards + forwards[row], clip.gradients + gradients[row]

    def _finished(self, clips: Sequence[Clip]) -> Finished:
        """The result on a chunk, whose padding repeats its clips."""
        padded = [clips[i % len(clips)] for i in range(self.size)]
        batch = _batch_of([clip.batch for clip in padded])
        forwards, gradients = (
            torch.tensor([getattr(clip, name) for clip in padded], device=batch.x.device)
            for name in ("forwards", "gradients")
        )
        result = self.staged.end(batch, joined([clip.state for clip in padded]))
        return Finished(result, [clip.margins for clip in padded], forwards, gradients)


def clips_of(batch: SkeletonBatch, rows: slice) -> SkeletonBatch:
    """The clips at these places."""
    values = {name: getattr(batch, name) for name in PER_CLIP}
    return replace(batch, **{name: value[rows] for name, value in values.items() if value is not None})


def _batch_of(batches: Sequence[SkeletonBatch]) -> SkeletonBatch:
    values = {name: [getattr(batch, name) for batch in batches] for name in PER_CLIP}
    whole: dict[str, Any] = {name: torch.cat(parts) for name, parts in values.items() if parts[0] is not None}
    return replace(batches[0], **whole)


def _arrays(clips: Sequence[Clip]) -> Arrays:
    """The clips as arrays of one file."""
    lengths = [len(clip.margins) for clip in clips]
    margins = np.zeros((len(clips), max(lengths)))
    for row, clip in enumerate(clips):
        margins[row, : lengths[row]] = clip.margins
    states = joined([clip.state for clip in clips])
    return {
        "index": np.array([int(clip.batch.index) for clip in clips]),
        "forwards": np.array([clip.forwards for clip in clips]),
        "gradients": np.array([clip.gradients for clip in clips]),
        "lengths": np.array(lengths),
        "margins": margins,
        **{f"state {name}": values.cpu().numpy() for name, values in states.items()},
    }


def _stored(path: Path | None) -> dict[int, Arrays]:
    """The clips in the file ``path`` by number, each as arrays of one row."""
    stored = load_state(path) if path else None
    if stored is None or not stored.keys() >= KEPT or len({len(values) for values in stored.values()}) > 1:
        return {}
    rows = range(len(stored["index"]))
    return {int(stored["index"][row]): {name: values[row : row + 1] for name, values in stored.items()} for row in rows}


def _clip_of(batch: SkeletonBatch, stored: Arrays) -> Clip:
    state = {
        name.removeprefix("state "): torch.from_numpy(values.copy()).to(batch.x.device)
        for name, values in stored.items()
        if name.startswith("state ")
    }
    counts = {name: int(stored[name][0]) for name in ("forwards", "gradients")}
    margins = stored["margins"][0, : int(stored["lengths"][0])].tolist()
    return Clip(batch, state, bool(state["done"]), int(state["stage"]), margins, **counts)
