"""Chunks of clips through an attack in stages: clips that are done leave, and others take their places."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model
from skeleton_adv.attacks.stages import Staged, State, joined, rows_of
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.models.victim import View

AHEAD = 4  # chunks begun and not ended: a kill loses no more than these
PER_CLIP = ("x", "y", "mask", "index", "dt", "place")


@dataclass
class Clip:
    """A clip on its way through the stages."""

    batch: SkeletonBatch  # of this clip only
    state: State  # likewise
    done: bool
    stage: int
    answers: list[Tensor] = field(default_factory=list)  # (K,) each, the logits of its passes
    forwards: int = 0
    gradients: int = 0


@dataclass(frozen=True)
class Finished:
    """An attack's result on the clips of one chunk, and what it saw and took of each."""

    result: AttackResult
    answers: Sequence[list[Tensor]]  # of each clip
    forwards: Tensor  # (N,)
    gradients: Tensor  # (N,)


@dataclass(frozen=True)
class Slots:
    """Takes chunks through the stages, in passes over always ``size`` clips.

    A clip's result is that of ``Staged.whole`` on its own chunk, bit for bit, because a network's rounding depends on
    the shape of a pass but not on the other clips, and draws are numbered by the clip's own passes. The stage that is
    furthest ahead and has ``size`` clips comes first, then the next chunk; once ``AHEAD`` chunks are begun, and at the
    end, the least advanced stage.
    """

    staged: Staged
    view: Callable[[SkeletonBatch, int], View]  # (clips, the number of their first draw) -> the attacked network
    limited: Callable[[View], Model]
    size: int

    def run(self, chunks: Iterable[tuple[SkeletonBatch, int]]) -> Iterator[Finished]:
        """The results on ``chunks``, in order; each is a batch of ``size`` clips, and how many are no padding."""
        source, waiting = iter(chunks), list[Clip]()
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
                    open_chunks[begun] = self._begun(*following)
                    waiting += [clip for clip in open_chunks[begun] if not clip.done]
                    begun += 1
            elif group is None:
                return
            else:
                self._advance(group)
                waiting = [clip for clip in waiting if not clip.done]

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
        _count(clips, view)
        return clips

    def _advance(self, clips: Sequence[Clip]) -> None:
        """One stage of these clips, which are repeated in turn until there are ``size``."""
        padded = [clips[i % len(clips)] for i in range(self.size)]
        batch = _batch_of([clip.batch for clip in padded])
        view = self.view(batch, clips[0].forwards)
        state = self.staged.advance(self.limited(view), batch, joined([clip.state for clip in padded]))
        done, stages = state["done"].tolist(), state["stage"].tolist()
        for row, clip in enumerate(clips):
            clip.state, clip.done, clip.stage = rows_of(state, slice(row, row + 1)), done[row], stages[row]
        _count(clips, view)

    def _finished(self, clips: Sequence[Clip]) -> Finished:
        """The result on a chunk, whose padding repeats its clips."""
        padded = [clips[i % len(clips)] for i in range(self.size)]
        batch = _batch_of([clip.batch for clip in padded])
        forwards, gradients = (
            torch.tensor([getattr(clip, name) for clip in padded], device=batch.x.device)
            for name in ("forwards", "gradients")
        )
        result = self.staged.end(batch, joined([clip.state for clip in padded]))
        return Finished(result, [clip.answers for clip in padded], forwards, gradients)


def clips_of(batch: SkeletonBatch, rows: slice) -> SkeletonBatch:
    """The clips at these places."""
    values = {name: getattr(batch, name) for name in PER_CLIP}
    return replace(batch, **{name: value[rows] for name, value in values.items() if value is not None})


def _batch_of(batches: Sequence[SkeletonBatch]) -> SkeletonBatch:
    values = {name: [getattr(batch, name) for batch in batches] for name in PER_CLIP}
    whole: dict[str, Any] = {name: torch.cat(parts) for name, parts in values.items() if parts[0] is not None}
    return replace(batches[0], **whole)


def _count(clips: Sequence[Clip], view: View) -> None:
    """Add what a view saw to its clips, the first of which are the first of its rows."""
    for row, clip in enumerate(clips):
        clip.answers += [answer[row] for answer in view.answers]
        clip.forwards, clip.gradients = clip.forwards + view.forwards, clip.gradients + view.gradients
