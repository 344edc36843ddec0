"""Clips that a run has kept, written as other programs read them. No torch here."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from skeleton_adv.core.errors import RunError
from skeleton_adv.core.files import whole
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.report.clips_to_draw import Pair, load_pairs, saved_clips, seconds_per_frame, skeleton_of
from skeleton_adv.runs.load import Run

WHOLE = 300  # with this many frames clips keep their recorded frames (``core.batch``, which imports torch)
Format = Literal["npz", "ctrgcn", "pyskl"]


@dataclass(frozen=True)
class Kept:
    """The clips of a run, without those on which the attack diverged."""

    run: Run
    skeleton: Skeleton
    pairs: tuple[Pair, ...]
    dt: tuple[float | None, ...]  # seconds per frame of each clip, as attacked
    diverged: int

    @cached_property
    def original(self) -> bool:
        """Whether frames are those of the recordings: none was resampled, and none cropped."""
        if self.run.num_frames >= WHOLE:
            return True
        fps, crop = self.run.fps, self.run.settings.get("dataset", {}).get("test_crop", 0)
        return crop == 1 and all(fps and dt and abs(dt * fps - 1) < 1e-5 for dt in self.dt)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Frames of each clip, without those that only fill the batch: they follow the last joint that exists."""
        if not self.original:
            return (self.run.num_frames,) * len(self.pairs)
        return tuple(max(pair.frames) + 1 for pair in self.pairs)

    @property
    def frames(self) -> str:
        """What the frames are, in words."""
        return "original frames" if self.original else f"resampled to {self.run.num_frames} frames"

    def clip(self, place: int, clean: bool) -> np.ndarray:
        """(C, T, V, M) of true length, adversarial or clean; 0 where nothing exists."""
        pair, length = self.pairs[place], self.lengths[place]
        clip: np.ndarray = np.where(pair.exists, pair.x if clean else pair.x_adv, 0)[:, :length]
        return clip

    def stacked(self, clean: bool) -> np.ndarray:
        """(N, C, T, V, M), shorter clips followed by frames of 0."""
        found = np.zeros((len(self.pairs), self.skeleton.channels, max(self.lengths), *self.pairs[0].x.shape[2:]))
        for place, length in enumerate(self.lengths):
            found[place, :, :length] = self.clip(place, clean)
        return found.astype(np.float32)

    def column(self, name: str) -> np.ndarray:
        """(N,) a column of the records."""
        return np.array([pair.record[name] for pair in self.pairs])


def keep(run: Run) -> Kept:
    """The clips that a run has kept; raises ``RunError`` if there are none."""
    if run.kind != "attack":
        raise RunError(f"{run.folder} contains certificates, not attacks: it has no adversarial clips to export")
    numbers = sorted(saved_clips(run))
    if not numbers:
        raise RunError(f"{run.folder} has kept no clips: run its command again with runtime.save_clips=true")
    found = [pair for pair in load_pairs(run, numbers) if np.isfinite(pair.x_adv).all()]
    if not found:
        raise RunError(f"{run.folder}: the attack diverged on all {len(numbers)} clips: there is nothing to export")
    dt = seconds_per_frame(run, [int(pair.record["index"]) for pair in found])
    return Kept(run, skeleton_of(run), tuple(found), tuple(dt), len(numbers) - len(found))


def write_npz(kept: Kept, path: Path, clean: bool = False) -> str:
    """Write both clips, their masks and all facts under plain names; return what must be known of them.

    ``x`` and ``x_adv`` (N, C, T, V, M) float32, ``mask`` (N, T, V, M), ``total_frames`` (N,), ``label``,
    ``clean_pred``, ``adv_pred``, ``success``, ``name``, ``fps`` (N,) frames per second of the clips as they are (NaN:
    not known), ``joints``, ``parents``, ``coords``, ``unit``, ``space``, ``classes`` and ``frames`` (``original`` or
    ``resampled``). Nothing is pickled.
    """
    mask = np.zeros((len(kept.pairs), max(kept.lengths), *kept.pairs[0].exists.shape[1:]), bool)
    for place, (pair, length) in enumerate(zip(kept.pairs, kept.lengths, strict=True)):
        mask[place, :length] = pair.exists[:length]
    content = {
        "x": kept.stacked(clean=True),
        "x_adv": kept.stacked(clean=False),
        "mask": mask,
        "total_frames": np.array(kept.lengths),
        **{name: kept.column(name) for name in ("label", "clean_pred", "adv_pred", "success")},
        "name": kept.column("name").astype(str),
        "fps": np.array([1 / dt if dt else np.nan for dt in kept.dt]),
        "joints": np.array(kept.skeleton.joints),
        "parents": np.array(kept.skeleton.parents),
        "coords": np.array(kept.skeleton.coords),
        "unit": np.array(kept.run.unit),
        "space": np.array(kept.run.space),
        "classes": np.array([str(name) for name in kept.run.classes]),
        "frames": np.array("original" if kept.original else "resampled"),
    }
    _save(path, content)
    return "x is clean, x_adv adversarial"


def write_ctrgcn(kept: Kept, path: Path, clean: bool = False) -> str:
    """Write the test clips as CTR-GCN's feeder reads NTU60_CS.npz; return what must be known of them.

    ``x_test`` (N, T, M * V * C) float32, ``y_test`` (N, classes) one-hot; the training arrays have no row. There
    are two persons at least, as the feeder expects. Clips in 3-D are moved as by its preprocessing: the centre joint
    of the first person is at 0 in the clip's first frame; what does not exist is 0.
    """
    clips = kept.stacked(clean)
    deep, center = len(kept.skeleton.coords) == 3, kept.skeleton.center
    for place, pair in enumerate(kept.pairs if deep else ()):
        there = pair.exists[: clips.shape[2]]
        seen = there[:, center, 0]
        if seen.any():
            start = clips[place, :, seen.argmax(), center, 0].copy()
            moved = clips[place, :, : len(there)] - start[:, None, None, None]
            clips[place, :, : len(there)] = np.where(there, moved, 0)
    persons = max(2, clips.shape[4])
    clips = np.pad(clips, [(0, 0)] * 4 + [(0, persons - clips.shape[4])])
    n, c, t, v, m = clips.shape
    x = clips.transpose(0, 2, 4, 3, 1).reshape(n, t, m * v * c)  # a person's joints, then the next person's
    y = np.eye(kept.run.num_classes)[kept.column("label").astype(int)]
    _save(path, {"x_train": x[:0], "y_train": y[:0], "x_test": x, "y_test": y})
    usual = (m, v, c) == (2, 25, 3)
    how = "" if usual else f"; in CTR-GCN's feeder write reshape((N, T, {m}, {v}, {c})) instead of (N, T, 2, 25, 3)"
    return f"the first frame's {kept.skeleton.joints[center]} is at 0{how}" if deep else how.removeprefix("; ")


def write_pyskl(kept: Kept, path: Path, clean: bool = False) -> str:
    """Write the clips as pyskl's annotations, split ``test``; return what must be known of them.

    ``keypoint`` (M, T, V, C) float32 (pyskl's own files have float16, whose steps of 2 mm at 3 m would
    change an adversarial clip). In an image: pixels, or fractions with ``img_shape`` (1, 1) if its size is not
    known, both from the upper left corner, y down, and ``keypoint_score`` (M, T, V). Persons who never exist are left
    out; what does not exist is 0.
    """
    flat = kept.run.unit == "image"
    width, height = kept.run.image_size or (1, 1)
    annotations = []
    for place, (pair, length) in enumerate(zip(kept.pairs, kept.lengths, strict=True)):
        exists = pair.exists[:length]
        persons = np.flatnonzero(exists.any(axis=(0, 1)))
        clip = kept.clip(place, clean).transpose(3, 1, 2, 0)[persons]  # (M, T, V, C)
        there = exists.transpose(2, 0, 1)[persons]
        keypoint = clip[..., list(kept.skeleton.coords)]
        one: dict[str, Any] = {"frame_dir": str(pair.record["name"]), "label": int(pair.record["label"])}
        one["total_frames"] = length
        if flat:
            keypoint = (keypoint.astype(np.float64) * (1, -1) + 0.5) * (width, height)
            scores = clip[..., kept.skeleton.scores[0]] if kept.skeleton.scores else there
            one["keypoint_score"] = np.where(there, scores, 0).astype(np.float32)
            one["img_shape"] = one["original_shape"] = (int(height), int(width))
        one["keypoint"] = np.where(there[..., None], keypoint, 0).astype(np.float32)
        annotations.append(one)
    content = {"split": {"test": [one["frame_dir"] for one in annotations]}, "annotations": annotations}
    with whole(path) as part:
        part.write_bytes(pickle.dumps(content, protocol=4))
    if not flat:
        return ""
    return "in pixels" if kept.run.image_size else "in fractions of the image, as its size is not known"


WRITERS: dict[Format, tuple[str, Callable[[Kept, Path, bool], str]]] = {
    "npz": (".npz", write_npz),
    "ctrgcn": (".npz", write_ctrgcn),
    "pyskl": (".pkl", write_pyskl),
}


def export(run: Run, form: Format, path: Path | None = None, clean: bool = False) -> tuple[Path, str]:
    """Write a run's clips; return the file and one line about them."""
    kept = keep(run)
    ending, write = WRITERS[form]
    assert run.folder is not None
    place = path or run.folder / f"{'clean' if clean and form != 'npz' else 'adversarial'}_{form}{ending}"
    if place.suffix != ending:
        raise RunError(f"--out {place}: this format is written as {ending}: rename the file")
    known = write(kept, place, clean)
    facts = [f"{len(kept.pairs)} clips", kept.frames, known]
    facts += [f"{run.num_frames} frames at most"] if kept.original and run.num_frames >= WHOLE else []
    facts += ["in the normalised space"] if run.space == "normalised" else []
    facts += [f"{kept.diverged} clips are left out, because the attack diverged on them"] if kept.diverged else []
    return place, "; ".join(word for word in facts if word)


def _save(path: Path, content: dict[str, Any]) -> None:
    with whole(path) as part, open(part, "wb") as file:
        np.savez(file, **content)
