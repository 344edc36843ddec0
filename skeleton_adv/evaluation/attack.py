"""Evaluation of an attack on a victim: one row per clip, computed in chunks whose shape never changes."""

import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skeleton_adv.attacks import (
    Attack,
    AttackResult,
    Pool,
    access_of,
    fit_of,
    masked_batch,
    name_of,
    own_columns,
    stages_of,
    wants_pool,
)
from skeleton_adv.attacks.losses import margin
from skeleton_adv.attacks.stages import Staged
from skeleton_adv.constraints import Constraint
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import AttackError, SettingError
from skeleton_adv.data.clips import Dataset, Prepared, hashed_order, load_batch
from skeleton_adv.evaluation.chunks import chunks_left, padded
from skeleton_adv.evaluation.compaction import Finished, Slots
from skeleton_adv.evaluation.made import Kept, Made
from skeleton_adv.evaluation.metrics import measure
from skeleton_adv.evaluation.plausibility import COLUMNS as PLAUSIBILITY
from skeleton_adv.evaluation.plausibility import Plausibility
from skeleton_adv.evaluation.sanity import gradient_norm, margins_fall, noise_control, still_falling
from skeleton_adv.evaluation.targets import Target, targets
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.schema import ATTACK, ColumnKind, Columns, constraint_columns

Row = dict[str, Any]  # column -> plain value
Chunk = tuple[SkeletonBatch, SkeletonBatch, Made]  # clips, the same with the attack's labels, its result on them


@dataclass(frozen=True)
class Evaluation:
    """One attack on one victim; every attack is judged by the same constraints.

    The attack sees ``attacked``, with no more than its declared access: the victim itself (white box or adaptive),
    its undefended network (oblivious), or another network (transfer). The victim judges success.
    """

    dataset: Dataset
    prepared: Prepared
    victim: Victim
    attacked: Victim
    attack: Attack
    constraints: Mapping[str, Constraint]
    targeted: bool
    target: Target
    seed: int
    batch_size: int
    judgements: int = 10  # for a victim that draws noise; any other victim judges once
    # The victim's predictions for clean clips, by chunk; evaluations of the same victim may share them.
    clean: MutableMapping[tuple[int, ...], Tensor] = field(default_factory=dict)
    pool: Pool | None = None  # the attacker's training clips, for an attack that requires them
    fitted: Mapping[str, Tensor] | None = None  # what the attack has fitted on them
    plausibility: Plausibility | None = None  # adds its columns
    kept: Kept | None = None  # results on a surrogate, which do not depend on the victim
    compact: bool = True  # whether clips that are done leave their passes to others; rows are the same

    @property
    def columns(self) -> Columns:
        """The names and kinds of the columns, in order; raises ``SettingError`` if two have the same name."""
        columns: dict[str, ColumnKind] = {}
        more = PLAUSIBILITY if self.plausibility else {}
        for added in (ATTACK.columns, constraint_columns(self.constraints), more, own_columns(self.attack)):
            duplicates = sorted({*columns} & {*added})
            if duplicates:
                raise SettingError(
                    f"two columns are named {duplicates[0]}: rename the constraint or the attack's column"
                )
            columns |= added
        return columns

    def run(
        self,
        order: Sequence[int],
        done: set[int],
        append: Callable[[list[Row]], None],
        progress: Callable[[Iterable[int], int], Iterable[int]],
        save: Callable[[list[int], list[Row], Mapping[str, np.ndarray]], None] | None = None,
        saved: Container[int] = (),
        state: Path | None = None,
    ) -> None:
        """Attack the clips of ``order`` that are not ``done``, and append their rows chunk by chunk.

        The file ``state`` keeps the clips of chunks that an attack in stages has begun and not ended.

        With ``save``, the clips ``x`` and ``x_adv`` (n, C, T, V, M), their ``mask`` and ``dt``, and the attack's
        trace, ``trace.*`` (n, steps), are saved before their rows, unless they are already ``saved``.
        """
        _ = self.columns  # refused before work starts
        finished = (done,) if save is None else (done, saved)
        chunks = chunks_left(order, self.batch_size, *finished)
        attacked = self._attacked_chunks(chunks, state)
        for chunk in progress(range(len(chunks)), len(chunks)):
            numbers = chunks[chunk]
            rows, tensors = self._attack(numbers, *next(attacked))
            if save is not None:
                save(numbers, rows, {name: _array(values) for name, values in tensors.items()})
            append([row for row in rows if row["index"] not in done])
        if state is not None:
            state.unlink(missing_ok=True)

    @cached_property
    def _places(self) -> dict[int, int]:
        """The places of the clips in the order of their split, which no limit and no shard changes."""
        orders = (hashed_order(self.prepared.clips, split) for split in ("train", "test"))
        return {number: place for order in orders for place, number in enumerate(order)}

    def _attacked_chunks(self, chunks: Sequence[list[int]], state: Path | None) -> Iterator[Chunk]:
        """The attack on each of these chunks, in order."""
        missing = [numbers for numbers in chunks if not self.kept or not self.kept.has(numbers)]
        made, waiting = self._all_made(missing, state), deque(missing)
        for numbers in chunks:
            is_missing = bool(waiting) and waiting[0] == numbers
            kept = None if is_missing or not self.kept else self.kept.get(numbers, self.victim.device)
            if kept is not None:
                yield *self._loaded(numbers), kept
                continue
            chunk = next(made) if is_missing else next(self._all_made([numbers], None))  # its file is damaged
            if is_missing:
                waiting.popleft()
            if self.kept:
                self.kept.put(numbers, chunk[-1])
            yield chunk

    def _all_made(self, chunks: Sequence[list[int]], state: Path | None) -> Iterator[Chunk]:
        """The attack on each of these chunks, in order, none of which is kept."""
        staged: Staged | None = stages_of(self.attack, self.targeted)
        if staged is None or not self.compact or (self.attacked.randomised and not staged.fixed):
            loaded = (self._loaded(numbers) for numbers in chunks)
            return ((batch, goal, self._made(batch, goal)) for batch, goal in loaded)
        return self._compacted(staged, chunks, state)

    def _compacted(self, staged: Staged, chunks: Sequence[list[int]], state: Path | None) -> Iterator[Chunk]:
        """The attack in stages on each of the chunks, in order, in passes that clips of several chunks share."""
        access, loaded = access_of(self.attack), deque[tuple[SkeletonBatch, SkeletonBatch]]()

        def source() -> Iterator[tuple[SkeletonBatch, int]]:
            for numbers in chunks:
                loaded.append(self._loaded(numbers))
                yield masked_batch(self.attack, _copied(loaded[-1][1])), len(numbers)

        slots = Slots(
            staged,
            view=lambda batch, first: self.attacked.view(batch, "attack", self.seed, first),
            limited=lambda view: view.limited(access),
            margin=self._margin,
            size=self.batch_size,
            path=state,
        )
        began = time.perf_counter()
        for finished in slots.run(source()):
            batch, goal = loaded.popleft()
            yield batch, goal, self._made_in_stages(batch, goal, finished, time.perf_counter() - began)
            began = time.perf_counter()

    def _margin(self, logits: Tensor, y: Tensor) -> Tensor:
        """(N,) the margins; 0 if the attacked network returns features."""
        return margin(logits, y, self.targeted) if self.attacked.classifies else logits.new_zeros(len(logits))

    def _loaded(self, numbers: list[int]) -> tuple[SkeletonBatch, SkeletonBatch]:
        """The clips of a chunk, repeated until there are ``batch_size``, and with the labels that the attack gets."""
        batch = load_batch(self.dataset, self.prepared, padded(numbers, self.batch_size)).to(self.victim.device)
        batch = replace(batch, place=torch.tensor([self._places[i] for i in batch.index.tolist()]).to(batch.index))
        return batch, batch.with_labels(self._targets(batch)) if self.targeted else batch

    def _attack(
        self, numbers: list[int], batch: SkeletonBatch, goal: SkeletonBatch, made: Made
    ) -> tuple[list[Row], dict[str, Tensor]]:
        """The rows and the saved arrays of one chunk."""
        columns = tuple(self.columns)
        began, x_adv = time.perf_counter(), made.x_adv
        judged = self._judged(batch, goal, x_adv)
        values = {
            "label": batch.y,
            "target": goal.y if self.targeted else torch.full_like(batch.y, -1),
            **judged,
            "found": made.found,
            "falling": made.falling & ~judged["success"],
            "gradient": made.gradient,
            **measure(x_adv, batch, self.constraints),
            **(self.plausibility.columns(x_adv, batch) if self.plausibility else {}),
            **made.columns,
            "forwards": made.forwards,
            "gradients": made.gradients,
        }
        by_clip = {name: column.tolist() for name, column in values.items()}
        seconds = round((made.seconds + time.perf_counter() - began) / len(numbers), 4)
        rows = []
        for i, number in enumerate(numbers):
            row = {"index": number, "name": self.prepared.clips[number].name, "seconds": seconds}
            row |= {name: column[i] for name, column in by_clip.items()}
            rows.append({name: row[name] for name in columns})
        trace = {f"trace.{name}": values.T for name, values in (made.trace or {}).items()}
        tensors = {"x": batch.x, "x_adv": x_adv, "mask": batch.mask, "dt": batch.dt, **trace}
        return rows, {name: values[: len(numbers)] for name, values in tensors.items()}

    def _made(self, batch: SkeletonBatch, goal: SkeletonBatch) -> Made:
        """The attack on one chunk."""
        began = time.perf_counter()
        view = self.attacked.view(batch, "attack", self.seed)
        extra: dict[str, Any] = {"pool": self.pool} if wants_pool(self.attack) else {}
        extra |= {"fitted": self.fitted} if fit_of(self.attack) else {}
        # A copy, because an attack that overwrites its clips would otherwise be judged against the overwritten clips.
        result = self.attack(view.limited(access_of(self.attack)), _copied(goal), targeted=self.targeted, **extra)
        falling, gradient = torch.zeros_like(result.found), torch.full_like(batch.dt, torch.nan)
        if self.attacked.classifies:  # features have no margin and no cross-entropy
            falling = still_falling(view.answers, goal.y, self.targeted)
            if stages_of(self.attack, self.targeted):  # a clip that is done leaves, so its last margins are unknown
                falling &= ~result.found
            gradient = gradient_norm(self.attacked.view(batch, "attack", self.seed), batch)
        forwards, gradients = view.own_passes(batch.y)
        return Made(
            x_adv=self._checked(result, batch),
            found=result.found,
            falling=falling,
            gradient=gradient,
            columns=result.columns,
            forwards=forwards,
            gradients=gradients,
            seconds=time.perf_counter() - began,
            trace=result.trace,
        )

    def _made_in_stages(self, batch: SkeletonBatch, goal: SkeletonBatch, finished: Finished, seconds: float) -> Made:
        """The result of an attack in stages on one chunk."""
        result = finished.result
        falling, gradient = torch.zeros_like(result.found), torch.full_like(batch.dt, torch.nan)
        if self.attacked.classifies:
            falling = margins_fall(finished.margins, batch.dt) & ~result.found
            gradient = gradient_norm(self.attacked.view(batch, "attack", self.seed), batch)
        return Made(
            x_adv=self._checked(result, batch),
            found=result.found,
            falling=falling,
            gradient=gradient,
            columns=result.columns,
            forwards=finished.forwards,
            gradients=finished.gradients,
            seconds=seconds,
        )

    def _checked(self, result: AttackResult, batch: SkeletonBatch) -> Tensor:
        """The adversarial clips in float32, as they would be saved.

        Raises ``AttackError`` if a part of the result has the wrong shape or type, or if an immovable entry has
        moved. A diverged clip raises no error: its joints are not finite, and it counts as a failure.
        """
        name, n = f"attack {name_of(self.attack)}", len(batch)
        if result.x_adv.shape != batch.x.shape:
            raise AttackError(
                f"{name} returned clips of shape {tuple(result.x_adv.shape)}, not {tuple(batch.x.shape)}: "
                "it must keep the shape of batch.x"
            )
        if result.found.shape != (n,) or result.found.dtype != torch.bool:
            raise AttackError(f"{name} returned found={_described(result.found)}: it must be bool ({n},)")
        declared = own_columns(self.attack)
        if {*result.columns} != {*declared}:
            raise AttackError(
                f"{name} returned the columns {sorted(result.columns)}, but declares {sorted(declared)}: "
                "return the declared columns"
            )
        for column, values in result.columns.items():
            if values.shape != (n,) or _kind(values) != declared[column]:
                raise AttackError(
                    f"{name} returned {column}={_described(values)}: it must be {declared[column]} ({n},), as declared"
                )
        x_adv = result.x_adv.detach().to(batch.x.device, torch.float32)
        moved = (~(x_adv == batch.x) & ~batch.movable).flatten(1).any(dim=1)
        if moved.any():
            clip = self.prepared.clips[int(batch.index[moved][0])].name
            raise AttackError(
                f"{name} moved an immovable entry in clip {clip}: change x only where batch.movable is true"
            )
        return x_adv

    def _judged(self, batch: SkeletonBatch, goal: SkeletonBatch, x_adv: Tensor) -> dict[str, Tensor]:
        """The columns (N,) that depend on the victim's judgements of clean, adversarial and noisy clips.

        The noise has the same l2 as the attack's perturbation.
        """
        times = self.judgements if self.victim.randomised else 1
        chunk = tuple(batch.index.tolist())
        if chunk not in self.clean:
            self.clean[chunk] = self._predicted(batch, batch.x, "clean", times)
        clean, adversarial = self.clean[chunk], self._predicted(batch, x_adv, "judge", times)
        # One judgement is enough, because the check is a sum over clips, and each clip has its own noise.
        control = self._predicted(batch, noise_control(x_adv, batch, self.seed), "control", 1)
        shares = {
            "clean_share": clean == batch.y,
            "adv_share": adversarial == batch.y,
            "success_share": self._fooled(adversarial, goal),
            "control_share": self._fooled(control, goal),
        }
        mean_shares = {name: values.double().mean(dim=0) for name, values in shares.items()}
        return {
            "judgements": torch.full_like(batch.y, times),
            "clean_pred": clean.mode(dim=0).values,
            "adv_pred": adversarial.mode(dim=0).values,
            **mean_shares,
            "clean_correct": mean_shares["clean_share"] > 0.5,
            "success": mean_shares["success_share"] > 0.5,
        }

    def _predicted(self, batch: SkeletonBatch, x: Tensor, purpose: str, times: int) -> Tensor:
        """(times, N) predictions of the victim, each with fresh noise; -1 where clip or logits are not finite.

        So a diverged attack is a failure, and the argmax of NaNs never counts as a class.
        """
        view = self.victim.view(batch, purpose, self.seed)
        predictions = []
        with torch.no_grad():
            for _ in range(times):
                logits = view(x)
                finite = x.isfinite().flatten(1).all(dim=1) & logits.isfinite().all(dim=1)
                predictions.append(torch.where(finite, logits.argmax(dim=1), -1))
        return torch.stack(predictions)

    def _fooled(self, predictions: Tensor, goal: SkeletonBatch) -> Tensor:
        """(J, N) bool: whether each of the predictions (J, N) is a success of the attack."""
        hit = predictions == goal.y
        return (hit if self.targeted else ~hit) & (predictions >= 0)

    def _targets(self, batch: SkeletonBatch) -> Tensor:
        """(N,) the classes to reach."""
        view = self.attacked.view(batch, "target", self.seed)
        return targets(self.target, batch, self.dataset.classes, self.seed, view)


def _copied(batch: SkeletonBatch) -> SkeletonBatch:
    """A copy of the batch that shares no memory with it."""
    tensors = ("x", "y", "mask", "index", "dt")
    return replace(batch, **{name: getattr(batch, name).clone() for name in tensors})


def _array(values: Tensor) -> np.ndarray:
    """Values as they are stored, floating-point numbers in float32."""
    values = values.detach().cpu()
    array: np.ndarray = np.ascontiguousarray((values.float() if values.is_floating_point() else values).numpy())
    return array


def _kind(values: Tensor) -> ColumnKind:
    if values.dtype == torch.bool:
        return "bool"
    return "float" if values.is_floating_point() else "int"


def _described(values: Tensor) -> str:
    """The type and shape of a tensor, such as ``float32 (8,)``."""
    return f"{str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}"
