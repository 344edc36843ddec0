"""Prepared data: raw clips of any length in one memory-mapped store, keyed by a digest."""

import hashlib
import json
import shutil
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from threading import current_thread, main_thread

import numpy as np
from filelock import FileLock

from skeleton_adv.core.errors import DataError
from skeleton_adv.data.clips import Clip, Dataset, Prepared, RawClip, Skipped

FORMAT = 1
CLIPS_A_WORKER = 200  # fewer are read before a further process has started
CLIPS_A_TASK = 16
Progress = Callable[[Iterable[Clip], int], Iterable[Clip]]


class Store:
    """The prepared clips in ``folder``; opening it reads the list of clips, not the frames.

    ``digest`` is that of the frames, labels and splits themselves: the same on every machine.
    Raises ``DataError`` if a file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._open(folder)
        except (ValueError, KeyError, TypeError, EOFError, FileNotFoundError) as error:
            raise DataError(
                f"{folder} is damaged ({type(error).__name__}): delete it, and it is prepared anew"
            ) from None

    def _open(self, folder: Path) -> None:
        meta = json.loads((folder / "store.json").read_text())
        self.digest: str = meta["digest"]
        self.clips = tuple(Clip(**clip) for clip in meta["clips"])
        self.skipped = tuple(Skipped(**skipped) for skipped in meta["skipped"])
        self._starts = np.cumsum([0, *meta["lengths"]])
        self._frames = np.load(folder / "frames.npy", mmap_mode="r")  # (F, C, V, M)
        self._exists = np.load(folder / "exists.npy", mmap_mode="r")  # (F, V, M)

    def raw(self, index: int) -> RawClip:
        part = slice(self._starts[index], self._starts[index + 1])
        return RawClip(np.asarray(self._frames[part]), np.asarray(self._exists[part]))


def prepare(
    dataset: Dataset, cache: Path, progress: Progress = lambda clips, total: clips, workers: int = 1
) -> Prepared:
    """Read all of a dataset's clips into a store below ``cache``, or open the one that stands there.

    A generator needs no store: its clips are made when they are asked for.

    The store appears whole or not at all: it is built in a folder of its own and renamed at the
    end, so an interrupted preparation starts cleanly. Raises ``DataError`` at the first broken
    file; with ``dataset.on_error="skip"`` such files are left out and listed in ``Store.skipped``.
    """
    if dataset.generated:
        return Generated(dataset)
    key = hashlib.sha256(f"{FORMAT} {dataset.on_error} {dataset.fingerprint()}".encode()).hexdigest()[:16]
    folder = cache / dataset.name / key
    if (folder / "store.json").exists():
        return Store(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "store.json").exists():
            building = folder.with_suffix(".part")
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir()
            try:
                _build(dataset, building, progress, workers)
                building.replace(folder)
            finally:
                shutil.rmtree(building, ignore_errors=True)
    return Store(folder)


def _build(dataset: Dataset, folder: Path, progress: Progress, workers: int) -> None:
    clips, skipped, lengths = [], [], []
    digest = hashlib.sha256()
    listed = dataset.clips()
    with open(folder / "frames.raw", "wb") as frames_file, open(folder / "exists.raw", "wb") as exists_file:
        found = _read_all(dataset, listed, workers)
        for clip, raw in zip(progress(listed, len(listed)), found, strict=True):
            if isinstance(raw, DataError):
                if dataset.on_error == "stop":
                    raise DataError(f"{raw}; mend or remove it, or leave such files out: dataset.on_error=skip")
                skipped.append(Skipped(clip.name, str(raw)))
                continue
            frames, exists = raw.frames.tobytes(), raw.exists.tobytes()
            digest.update(repr((clip, raw.frames.shape)).encode() + frames + exists)
            frames_file.write(frames)
            exists_file.write(exists)
            clips.append(clip)
            lengths.append(len(raw.frames))
    if not clips:
        raise DataError(f"{dataset.name}: no clip could be read; the first: {skipped[0].reason if skipped else 'none'}")
    shape = (sum(lengths), dataset.skeleton.channels, dataset.skeleton.num_joints, dataset.num_persons)
    _to_npy(folder / "frames.raw", np.dtype(np.float32), shape)
    _to_npy(folder / "exists.raw", np.dtype(bool), (shape[0], *shape[2:]))
    meta = {
        "digest": digest.hexdigest(),
        "dataset": dataset.name,
        "clips": [asdict(clip) for clip in clips],
        "lengths": lengths,
        "skipped": [skip._asdict() for skip in skipped],
    }
    (folder / "store.json").write_text(json.dumps(meta))


def _read_all(dataset: Dataset, clips: Sequence[Clip], workers: int) -> Iterator[RawClip | DataError]:
    """Each clip in turn, or what is wrong with it; read by ``workers`` processes if the files are many."""
    workers = min(workers, len(clips) // CLIPS_A_WORKER)
    if workers < 2:
        yield from (_read(dataset, clip) for clip in clips)
        return
    # Not forked: a fork of a process whose threads are at work may never wake.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _keep, (_bare(dataset),))
    try:
        parts = [clips[start : start + CLIPS_A_TASK] for start in range(0, len(clips), CLIPS_A_TASK)]
        ahead = 4 * workers  # so that what has been read and not yet written stays small
        with _interrupts_ignored():  # inherited by the workers: Ctrl-C is for the process that the user started
            waiting = deque(pool.submit(_read_kept, part) for part in parts[:ahead])
        for part in [*parts[ahead:], *([None] * ahead)]:
            if waiting:
                yield from waiting.popleft().result()
            if part is not None:
                waiting.append(pool.submit(_read_kept, part))
    except BrokenProcessPool:
        raise DataError(
            "a process that reads files was killed, perhaps for want of memory: try runtime.workers=1"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if current_thread() is not main_thread():  # only the main thread may say what signals do
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _bare(dataset: Dataset) -> Dataset:
    """The dataset without what it has looked up, which would be sent to every worker."""
    return replace(dataset) if is_dataclass(dataset) else dataset


def _read(dataset: Dataset, clip: Clip) -> RawClip | DataError:
    try:
        return dataset.read(clip)
    except DataError as error:
        return error


_kept: list[Dataset] = []  # a worker's own: sent once, not with every clip


def _keep(dataset: Dataset) -> None:
    _kept[:] = [dataset]


def _read_kept(clips: Sequence[Clip]) -> list[RawClip | DataError]:
    return [_read(_kept[0], clip) for clip in clips]


def _to_npy(raw: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Turn a file of bare values into a ``.npy`` file beside it, without holding it in memory."""
    with open(raw.with_suffix(".npy"), "wb") as out, open(raw, "rb") as values:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(out, header)
        shutil.copyfileobj(values, out, 1 << 20)
    raw.unlink()


class Generated:
    """Clips of a generator, each made when it is first asked for and kept in memory."""

    def __init__(self, dataset: Dataset) -> None:
        self.clips = dataset.clips()
        self.digest = dataset.fingerprint()
        self.skipped: tuple[Skipped, ...] = ()
        self._dataset = dataset
        self._made: dict[int, RawClip] = {}

    def raw(self, index: int) -> RawClip:
        if index not in self._made:
            self._made[index] = self._dataset.read(self.clips[index])
        return self._made[index]
