"""Identification by templates: the features of a network, and one row per adversarial clip."""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.tree import rebuilt
from skeleton_adv.data.clips import Clip, Dataset, Prepared, load_batch
from skeleton_adv.defenses.bone_projection import usual_lengths
from skeleton_adv.detectors.distances import Distance, distances
from skeleton_adv.evaluation import metrics
from skeleton_adv.evaluation.chunks import Append, Over, Row, in_chunks, padded, rows_of
from skeleton_adv.evaluation.detect import CLIPS, Attacked, matches
from skeleton_adv.models.deep import deep
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.schema import IDENTIFICATION, Columns

EXAMPLE = "_(s[0-9]+)_"
Of = Literal["actions", "subjects"]
Bones = Literal["kept", "normalised", "alone"]


def matching(clips: Sequence[Clip], order: Sequence[int], names: str | None) -> list[int]:
    """The clips of ``order`` whose names match one of the patterns in ``names``, which ``|`` separates; None: all."""
    return [number for number in order if names is None or matches(clips[number].name, names)]


def identities(clips: Sequence[Clip], classes: Sequence[str], of: Of, subject: str) -> list[str]:
    """The identity of each clip: its action, or what the first group of the regular expression ``subject`` matches.

    Raises ``SettingError`` if a name does not match, or if ``subject`` is no regular expression.
    """
    if of == "actions":
        return [classes[clip.label] for clip in clips]
    try:
        found = [re.search(subject, clip.name) for clip in clips]
    except re.error as error:
        raise SettingError(f"subject={subject} is no regular expression ({error}): use one such as {EXAMPLE}") from None
    for clip, match in zip(clips, found, strict=True):
        if match is None or not match.groups() or match[1] is None:
            raise SettingError(
                f"subject={subject} names no subject in the clip {clip.name}: use a regular expression with a group, "
                f"such as {EXAMPLE}"
            )
    return [match[1] for match in found if match is not None]


@dataclass(frozen=True)
class Extractor:
    """A network as an extractor of features.

    - ``layer``: a stage of the network (``models.deep``); -1: the last before the logits
    - ``bones``: ``kept``; ``normalised``: each bone of a clip is scaled to the length ``usual`` (E,); ``alone``: the
      features are the median lengths of the clip's bones, without a network
    """

    victim: Victim
    layer: int
    distance: Distance
    bones: Bones
    usual: Tensor | None = None  # (E,) metres

    def features(self, batch: SkeletonBatch) -> tuple[Tensor, Tensor]:
        """The features (N, D) of clips, and their predicted classes (N,); -1 where the logits are not finite.

        Raises ``SettingError`` for a layer that does not exist.
        """
        lengths = usual_lengths(batch.x, batch)
        x = batch.x
        if self.usual is not None:
            factors = torch.where(lengths > 0, self.usual / lengths.clamp(min=1e-6), 1)
            x = rebuilt(batch, factors)
        with torch.no_grad():
            found = deep(self.victim.module, x)
        if self.bones == "alone":
            return lengths[:, 0], found.predicted
        if not -len(found.stages) <= self.layer < len(found.stages):
            count = len(found.stages)
            raise SettingError(f"layer={self.layer} does not exist: choose from {-count} to {count - 1}")
        return found.stages[self.layer], found.predicted


@dataclass(frozen=True)
class Gallery:
    """The clips whose mean features are the templates of identities."""

    dataset: Dataset
    prepared: Prepared
    numbers: Sequence[int]
    who: Sequence[str]  # the identity of each clip of the dataset

    @cached_property
    def names(self) -> list[str]:
        """The identities, in the order of the templates."""
        return sorted({self.who[number] for number in self.numbers})

    def usual(self, device: str) -> Tensor:
        """(E,) the median over the clips of the median length of each bone of the first person."""
        return torch.cat([usual_lengths(one.x, one)[:, 0] for one in self._batches(device)]).median(dim=0).values

    def templates(self, extractor: Extractor) -> Tensor:
        """(K, D) the mean of the features of each identity's clips."""
        features = torch.cat([extractor.features(one)[0] for one in self._batches(extractor.victim.device)])
        own = torch.tensor([self.names.index(self.who[number]) for number in self.numbers], device=features.device)
        return torch.stack([features[own == place].mean(dim=0) for place in range(len(self.names))])

    def _batches(self, device: str) -> Iterator[SkeletonBatch]:
        for start in range(0, len(self.numbers), CLIPS):
            yield load_batch(self.dataset, self.prepared, self.numbers[start : start + CLIPS]).to(device)


@dataclass(frozen=True)
class Identification:
    """The rows of an attack's saved clips: their distances to all templates, before and after the attack."""

    gallery: Gallery
    extractor: Extractor
    templates: Tensor  # (K, D)
    attacked: Attacked
    of: Of
    batch_size: int

    @property
    def columns(self) -> Columns:
        """The names and kinds of the columns, in order."""
        places = range(len(self.templates))
        return {**IDENTIFICATION.columns, **{f"{what}_to_{k}": "float" for what in ("clean", "adv") for k in places}}

    def run(self, order: Sequence[int], done: set[int], append: Append, over: Over) -> None:
        """Identify the clips of ``order`` that are not ``done``, in fixed chunks."""
        in_chunks(self._rows, order, self.batch_size, done, append, over)

    def _rows(self, numbers: list[int]) -> list[Row]:
        """The rows of one chunk, which is padded by repeating its clips."""
        began = time.perf_counter()
        dataset, prepared = self.gallery.dataset, self.gallery.prepared
        batch = load_batch(dataset, prepared, padded(numbers, self.batch_size)).to(self.extractor.victim.device)
        x_adv, target = self.attacked.batch(batch)
        clean, _ = self._to_templates(batch)
        adversarial, predicted = self._to_templates(replace(batch, x=x_adv))
        own = torch.tensor([self._place(number) for number in batch.index.tolist()], device=clean.device)
        values: dict[str, Tensor] = {
            "label": batch.y,
            "target": target,
            "identity": own,
            "claimed": self._claimed(own, target, predicted, adversarial),
            "clean_nearest": _nearest(clean),
            "adv_nearest": _nearest(adversarial),
            **metrics.distances(x_adv.double(), batch.to(dtype=torch.float64)),
        }
        for what, found in (("clean", clean), ("adv", adversarial)):
            values |= {f"{what}_to_{k}": found[:, k].double() for k in range(len(self.templates))}
        return rows_of(values, self.columns, numbers, prepared.clips, began)

    def _place(self, number: int) -> int:
        return self.gallery.names.index(self.gallery.who[number])

    def _to_templates(self, batch: SkeletonBatch) -> tuple[Tensor, Tensor]:
        """(N, K) distances to the templates, and the predicted classes (N,)."""
        features, predicted = self.extractor.features(batch)
        return distances(features, self.templates, self.extractor.distance), predicted

    def _claimed(self, own: Tensor, target: Tensor, predicted: Tensor, far: Tensor) -> Tensor:
        """(N,) the identity that an attack leads to, -1 if it leads to none.

        Of actions, that of the target, or of the wrong class that the network predicts; of subjects, which no attack
        aims at, that of the nearest wrong template.
        """
        if self.of == "subjects":
            others = far.nan_to_num(torch.inf).scatter(1, own[:, None], torch.inf)
            return torch.where(others.isfinite().any(dim=1), others.argmin(dim=1), -1)
        names, classes = self.gallery.names, self.gallery.dataset.classes
        places = [names.index(name) if name in names else -1 for name in classes]
        wanted = torch.where(target >= 0, target, predicted)
        found = torch.tensor(places, device=own.device)[wanted.clamp(min=0)]
        return torch.where((wanted >= 0) & (found != own), found, -1)


def _nearest(far: Tensor) -> Tensor:
    """(N,) the nearest template by distances (N, K); -1 if one is not finite."""
    return torch.where(far.isfinite().all(dim=1), far.argmin(dim=1), -1)


def check_gallery(names: Sequence[str], own: Sequence[str], gallery: str | None, of: Of) -> None:
    """Raise ``SettingError`` if there are fewer than two templates, or a probe's identity has none."""
    if len(names) < 2:
        raise SettingError(f"gallery={gallery} contains {len(names)} {of}, but two are needed: use a wider pattern")
    unknown = sorted({*own} - {*names})
    if unknown:
        raise SettingError(f"gallery={gallery} contains no clip of {unknown[0]}, but probes does: use a wider pattern")
