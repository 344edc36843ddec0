"""Victim x attack x clips -> records, in chunks whose shape never changes."""

import hashlib
import time
from collections.abc import Callable, Container, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from skeleton_adv.attacks import Attack
from skeleton_adv.constraints import Constraint
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.data.clips import Dataset, Prepared, load_batch
from skeleton_adv.evaluation.metrics import measure
from skeleton_adv.evaluation.sanity import gradient_norm, noise_control, still_falling
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.folder import Record

Target = str | int  # "random", "least_likely", or a class by name or number


@dataclass(frozen=True)
class Evaluation:
    """One attack against one victim, judged by the same constraints for every attack.

    The attack sees ``attacked``: the victim itself (white box), its undefended network (unaware of
    the defense), or another network (transfer). Success is the victim's to judge.
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
    judgements: int = 10  # of a victim that draws noise; any other is asked once
    # The victim's answers about clean clips, by chunk: evaluations of one victim may share them.
    clean: MutableMapping[tuple[int, ...], Tensor] = field(default_factory=dict)

    def run(
        self,
        order: Sequence[int],
        done: set[int],
        append: Callable[[list[Record]], None],
        progress: Callable[[Iterable[int], int], Iterable[int]],
        save: Callable[[list[int], list[Record], Mapping[str, Tensor]], None] | None = None,
        saved: Container[int] = (),
    ) -> None:
        """Attack the clips of ``order`` that are not ``done``, appending records chunk by chunk.

        A chunk is a fixed part of ``order``: if some of its clips are done it is run again as it
        was, because rounding, which attacks amplify, depends on a chunk's shape. With ``save``,
        clips ``x`` and ``x_adv`` (n, C, T, V, M), their ``mask``, and what the attack tells of its course,
        ``trace.*`` (n, steps), are saved, before their records, where not ``saved`` yet.
        """
        chunks = [list(order[start : start + self.batch_size]) for start in range(0, len(order), self.batch_size)]
        left = [
            chunk
            for chunk in chunks
            if not done.issuperset(chunk) or (save is not None and any(number not in saved for number in chunk))
        ]
        for place in progress(range(len(left)), len(left)):
            numbers = left[place]
            records, tensors = self._attack(numbers)
            if save is not None:
                save(numbers, records, tensors)
            append([record for record in records if record.index not in done])

    def _attack(self, numbers: list[int]) -> tuple[list[Record], dict[str, Tensor]]:
        """Records and clips of one chunk, padded to ``batch_size`` by repeating its clips."""
        began = time.perf_counter()
        padded = [numbers[i % len(numbers)] for i in range(self.batch_size)]
        batch = load_batch(self.dataset, self.prepared, padded).to(self.victim.device)
        goal = batch.with_labels(self._targets(batch)) if self.targeted else batch
        view = self.attacked.view(batch, "attack", self.seed)
        result = self.attack(view, goal, targeted=self.targeted)
        x_adv = result.x_adv.to(torch.float32)  # judged as it would be saved
        verdict = self._verdict(batch, goal, x_adv)
        columns = {
            "label": batch.y,
            "target": goal.y if self.targeted else torch.full_like(batch.y, -1),
            **verdict,
            "found": result.found,
            "falling": still_falling(view.answers, goal.y, self.targeted) & ~verdict["success"],
            "gradient": gradient_norm(self.attacked.view(batch, "attack", self.seed), batch),
            **measure(x_adv, batch, self.constraints),
        }
        rows = {name: column.tolist() for name, column in columns.items()}
        seconds = (time.perf_counter() - began) / len(numbers)
        records = [
            Record(
                index=number,
                name=self.prepared.clips[number].name,
                forwards=view.forwards,
                gradients=view.gradients,
                seconds=round(seconds, 4),
                **{name: column[i] for name, column in rows.items()},
            )
            for i, number in enumerate(numbers)
        ]
        course = {f"trace.{name}": values.T for name, values in (result.trace or {}).items()}
        tensors = {"x": batch.x, "x_adv": x_adv, "mask": batch.mask, **course}
        return records, {name: values[: len(numbers)] for name, values in tensors.items()}

    def _verdict(self, batch: SkeletonBatch, goal: SkeletonBatch, x_adv: Tensor) -> dict[str, Tensor]:
        """Columns (N,) of what the victim says of the clips, of the adversarial ones, and of noise of the same l2."""
        times = self.judgements if self.victim.randomised else 1
        chunk = tuple(batch.index.tolist())
        if chunk not in self.clean:
            self.clean[chunk] = self._judged(batch, batch.x, "clean", times)
        clean, adversarial = self.clean[chunk], self._judged(batch, x_adv, "judge", times)
        # Once is enough for a sign: it is a sum over clips, and noise of its own differs from clip to clip.
        control = self._judged(batch, noise_control(x_adv, batch, self.seed), "control", 1)
        shares = {
            "clean_share": clean == batch.y,
            "adv_share": adversarial == batch.y,
            "success_share": self._fooled(adversarial, goal),
            "control_share": self._fooled(control, goal),
        }
        means = {name: values.double().mean(dim=0) for name, values in shares.items()}
        return {
            "judgements": torch.full_like(batch.y, times),
            "clean_pred": clean.mode(dim=0).values,
            "adv_pred": adversarial.mode(dim=0).values,
            **means,
            "clean_correct": means["clean_share"] > 0.5,
            "success": means["success_share"] > 0.5,
        }

    def _judged(self, batch: SkeletonBatch, x: Tensor, purpose: str, times: int) -> Tensor:
        """(times, N) the victim's answers, each with fresh noise; -1 where clip or logits are not finite.

        A diverged attack has fooled nobody, whatever class comes first among NaNs.
        """
        view = self.victim.view(batch, purpose, self.seed)
        answers = []
        with torch.no_grad():
            for _ in range(times):
                logits = view(x)
                finite = x.isfinite().flatten(1).all(dim=1) & logits.isfinite().all(dim=1)
                answers.append(torch.where(finite, logits.argmax(dim=1), -1))
        return torch.stack(answers)

    def _fooled(self, answers: Tensor, goal: SkeletonBatch) -> Tensor:
        """(J, N) bool: which answers are what the attack wanted."""
        hit = answers == goal.y
        return (hit if self.targeted else ~hit) & (answers >= 0)

    def _targets(self, batch: SkeletonBatch) -> Tensor:
        """(N,) the classes to reach; ``random`` and ``least_likely`` are never the true class."""
        classes = len(self.dataset.classes)
        if self.target == "least_likely":
            with torch.no_grad():
                logits = self.attacked.view(batch, "target", self.seed)(batch.x)
            return logits.scatter(1, batch.y[:, None], torch.inf).argmin(dim=1)
        if self.target == "random":
            pairs = zip(batch.index.tolist(), batch.y.tolist(), strict=True)
            drawn = [random_target(self.seed, index, label, classes) for index, label in pairs]
            return torch.tensor(drawn, device=batch.y.device)
        return torch.full_like(batch.y, resolve_class(self.target, self.dataset.classes))


def random_target(seed: int, index: int, label: int, num_classes: int) -> int:
    """A class other than ``label``, drawn from (seed, clip) alone."""
    stream = hashlib.sha256(f"target {seed} {index}".encode()).digest()
    drawn = int(np.random.Generator(np.random.PCG64(int.from_bytes(stream[:8]))).integers(num_classes - 1))
    return drawn + (drawn >= label)


def resolve_class(target: Target, classes: Sequence[str]) -> int:
    """Number of a class given by name or number; raises ``SettingError`` with the nearest name."""
    text = str(target)
    if text in classes:
        return list(classes).index(text)
    if text.lstrip("-").isdigit():
        if not 0 <= int(text) < len(classes):
            raise SettingError(f"target={target} is out of range: classes are numbered 0 to {len(classes) - 1}")
        return int(text)
    raise SettingError(f"target={target} is no class: {nearest(text, ['random', 'least_likely', *classes])}")
