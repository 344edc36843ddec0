"""Prepared data: raw clips of any length in one memory-mapped store, whose folder is named by a digest."""

import hashlib
import json
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from threading import current_thread, main_thread

import numpy as np
from filelock import FileLock

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.files import digest, write_whole
from skeleton_adv.core.memory import keep_freed_memory
from skeleton_adv.data.building import Building, digest_of
from skeleton_adv.data.dataset import LARGEST, Clip, Dataset, Prepared, RawClip, Skipped, outside
from skeleton_adv.data.subjects import Relabelled, Subjects

FORMAT = 2
LISTING, LISTING_DIGEST, FRAMES, EXISTS = "store.json", "store.sha256", "frames.npy", "exists.npy"
CLIPS_PER_WORKER = 200  # fewer clips are read before another process has started
CLIPS_PER_TASK = 16
Watch = Callable[[Iterable[Clip], int], Iterable[Clip]]  # yields the clips and shows how many of the total are done


class Store:
    """The prepared clips in ``folder``; the constructor reads and checks the list of clips, not the frames.

    A clip is checked against its digest when it is first loaded. ``digest`` covers
    all frames, labels and splits, and is the same on every machine. Raises ``DataError`` if the list, the
    type or size of an array, or a clip has changed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._checked: set[int] = set()
        try:
            self._open(folder)
        except Exception as error:  # json and numpy raise many kinds for a damaged file
            raise self._damaged(f"{type(error).__name__}: {error}") from None

    def _open(self, folder: Path) -> None:
        listing = (folder / LISTING).read_bytes()
        if hashlib.sha256(listing).hexdigest() != (folder / LISTING_DIGEST).read_text(encoding="ascii"):
            raise ValueError(f"{LISTING} has changed")
        content = json.loads(listing)
        self.digest: str = content["digest"]
        self.clips = tuple(Clip(**clip) for clip in content["clips"])
        self.skipped = tuple(Skipped(**skipped) for skipped in content["skipped"])
        self._digests: list[str] = content["clip_digests"]
        self._starts = np.cumsum([0, *content["lengths"]])
        shape = (int(self._starts[-1]), *content["shape"])  # (F, C, V, M)
        self._frames = _mapped(folder / FRAMES, np.dtype(np.float32), shape)
        self._exists = _mapped(folder / EXISTS, np.dtype(np.bool_), (shape[0], *shape[2:]))

    def raw(self, index: int) -> RawClip:
        """The clip with this number; raises ``DataError`` if it has changed."""
        part = slice(self._starts[index], self._starts[index + 1])
        raw = RawClip(np.asarray(self._frames[part]), np.asarray(self._exists[part]))
        if index not in self._checked:
            if digest_of(raw) != self._digests[index]:
                raise self._damaged(f"clip {self.clips[index].name} has changed")
            self._checked.add(index)
        return raw

    def _damaged(self, what: str) -> DataError:
        return DataError(f"{self._folder} is damaged ({what}): delete it, and run again to prepare it")


def _mapped(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """A memory-mapped ``.npy`` file; raises ``ValueError`` unless it has this type and shape."""
    array: np.ndarray = np.load(path, mmap_mode="r")
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{path.name} contains {array.dtype} {array.shape}, not {dtype} {shape}")
    return array


def prepare(dataset: Dataset, cache: Path, watch: Watch = lambda clips, total: clips, workers: int = 1) -> Prepared:
    """Read all clips of a dataset into a store below ``cache``, or open the existing store.

    A generator requires no store, because its clips are made on demand. Clips labelled with subjects are in the store
    of the actions.

    The store is written whole or not at all: it is built in a separate folder, which is renamed at the
    end. An interrupted preparation continues where it stopped. Raises ``DataError`` at the first broken
    file; with ``dataset.on_error="skip"``, broken files are left out and listed in ``Store.skipped``.
    """
    if isinstance(dataset, Subjects):
        return Relabelled(prepare(dataset.actions, cache, watch, workers), dataset)
    if dataset.generated:
        return Generated(dataset)
    folder = _folder(dataset, cache)
    if folder.exists():
        return Store(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            building = folder.with_suffix(".part")
            building.mkdir(exist_ok=True)
            try:
                _build(dataset, building, watch, workers)
                building.replace(folder)
            except DataError as error:
                if not isinstance(
                    error, _KilledError
                ):  # the repaired files will have another digest, and another folder
                    shutil.rmtree(building, ignore_errors=True)
                raise
    return Store(folder)


def stored(dataset: Dataset, cache: Path) -> Prepared | None:
    """The prepared clips of a dataset, or None if they are not prepared."""
    if dataset.generated:
        return Generated(dataset)
    folder = _folder(dataset, cache)
    return Store(folder) if folder.exists() else None


def _folder(dataset: Dataset, cache: Path) -> Path:
    """Where the clips of a dataset with these settings and files are prepared."""
    key = hashlib.sha256(f"{FORMAT} {dataset.on_error} {dataset.fingerprint()}".encode()).hexdigest()[:16]
    return cache / dataset.name / key


def _build(dataset: Dataset, folder: Path, watch: Watch, workers: int) -> None:
    listed = dataset.clips()
    _check_listed(dataset, listed)
    building = Building(folder, (FRAMES, EXISTS), _shape(dataset), listed)
    with building.opened() as known:
        found = _read_all(dataset, listed, workers, len(known))
        for number, clip in enumerate(watch(listed, len(listed))):
            if number < len(known):
                continue  # an earlier process has read it
            raw = next(found)
            if not isinstance(raw, DataError):
                building.add(clip, raw)
                continue
            if dataset.on_error == "stop":
                raise DataError(f"{raw}; repair or remove the file, or skip such files with dataset.on_error=skip")
            building.skip(Skipped(clip.name, str(raw)))
    pairs = [*zip(listed, building.entries, strict=True)]
    kept = [(clip, entry) for clip, entry in pairs if entry.skipped is None]
    skipped = [Skipped(entry.name, entry.skipped) for _, entry in pairs if entry.skipped is not None]
    if not kept:
        raise DataError(f"{dataset.name}: no clip could be read; the first: {skipped[0].reason if skipped else 'none'}")
    content = {
        "digest": building.total.hexdigest(),
        "dataset": dataset.name,
        "shape": _shape(dataset),
        "clips": [asdict(clip) for clip, _ in kept],
        "lengths": [entry.frames for _, entry in kept],
        "clip_digests": [entry.digest for _, entry in kept],
        "skipped": [skip._asdict() for skip in skipped],
    }
    write_whole(folder / LISTING, json.dumps(content))
    write_whole(folder / LISTING_DIGEST, digest(folder / LISTING))


def _check_listed(dataset: Dataset, clips: Sequence[Clip]) -> None:
    """Raise ``DataError`` unless every clip has a unique name and a valid label."""
    names: set[str] = set()
    num_classes = len(dataset.classes)
    for clip in clips:
        if clip.name in names:
            raise DataError(f"{dataset.name}: two clips have the name {clip.name}")
        if not 0 <= clip.label < num_classes:
            raise DataError(f"{dataset.name}: clip {clip.name} has label {clip.label}, not 0 to {num_classes - 1}")
        names.add(clip.name)


def read_checked(dataset: Dataset, clip: Clip) -> RawClip:
    """A clip as its dataset reads it; raises ``DataError`` if a type, shape or value is wrong."""
    return _checked(dataset, clip, dataset.read(clip))


def _checked(dataset: Dataset, clip: Clip, raw: RawClip) -> RawClip:
    frames, exists = raw
    shape = _shape(dataset)
    where = f"{dataset.name}: clip {clip.name}"
    if frames.dtype != np.float32 or frames.shape != (len(frames), *shape) or len(frames) < 2:
        raise DataError(f"{where}: frames are {frames.dtype} {frames.shape}, not float32 (2 or more, *{shape})")
    if exists.dtype != np.bool_ or exists.shape != (len(frames), *shape[1:]):
        raise DataError(f"{where}: exists is {exists.dtype} {exists.shape}, not bool {(len(frames), *shape[1:])}")
    wrong = outside(frames, dataset.unit).any(axis=(1, 2, 3))
    if wrong.any():
        raise DataError(
            f"{where}: frame {int(wrong.argmax()) + 1} contains a value that is not finite or exceeds "
            f"{LARGEST[dataset.unit]:g} {dataset.unit}"
        )
    return raw


def _shape(dataset: Dataset) -> tuple[int, int, int]:
    """The numbers of channels, joints and persons in every frame."""
    return dataset.skeleton.channels, dataset.skeleton.num_joints, dataset.num_persons


def _read_all(dataset: Dataset, clips: Sequence[Clip], workers: int, first: int) -> Iterator[RawClip | DataError]:
    """Each clip from number ``first`` in turn, or its error; ``workers`` processes read them if there are many files.

    Files without random access are read in this process, from the start.
    """
    streamed = dataset.one_pass(clips)
    if streamed is not None:
        pairs = islice(zip(clips, streamed, strict=True), first, None)
        yield from (_or_error(dataset, clip, raw) for clip, raw in pairs)
        return
    clips = clips[first:]
    workers = min(workers, len(clips) // CLIPS_PER_WORKER)
    if workers < 2 or type(dataset).__module__ == "__main__":  # a class of the user's script is unknown to workers
        yield from (_read(dataset, clip) for clip in clips)
        return
    # The processes are not forked, because a fork of a process with active threads may hang.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _keep, (_bare(dataset),))

    def submit(part: Sequence[Clip]) -> Future[list[RawClip | DataError]]:
        # A worker starts here. It inherits that interrupts are ignored: only the main process handles Ctrl-C.
        with _interrupts_ignored(), _without_the_users_script():
            return pool.submit(_read_kept, part)

    try:
        parts = [clips[start : start + CLIPS_PER_TASK] for start in range(0, len(clips), CLIPS_PER_TASK)]
        ahead = 4 * workers  # limits the data that is read but not yet written
        waiting = deque(submit(part) for part in parts[:ahead])
        for part in [*parts[ahead:], *([None] * ahead)]:
            if waiting:
                yield from waiting.popleft().result()
            if part is not None:
                waiting.append(submit(part))
    except BrokenProcessPool:
        raise _KilledError(
            "a process that reads files was killed, perhaps because memory ran out: try runtime.workers=1"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _KilledError(DataError):
    """A process that reads files was killed, which is no fault of the files."""


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if current_thread() is not main_thread():  # only the main thread may set signal handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _without_the_users_script() -> Iterator[None]:
    """New processes do not run the user's script from its start.

    A script without ``if __name__ == "__main__"`` would prepare the same clips in each of them, and wait there for the
    lock that this process holds.
    """
    script = vars(sys.modules["__main__"])
    hidden = {name: script.pop(name) for name in ("__file__", "__spec__") if name in script}
    script["__spec__"] = None
    try:
        yield
    finally:
        script.update({"__spec__": None} | hidden)


def _bare(dataset: Dataset) -> Dataset:
    """The dataset without its cached values, which would otherwise be sent to every worker."""
    return replace(dataset)


def _read(dataset: Dataset, clip: Clip) -> RawClip | DataError:
    try:
        return read_checked(dataset, clip)
    except DataError as error:
        return error


def _or_error(dataset: Dataset, clip: Clip, raw: RawClip | DataError) -> RawClip | DataError:
    try:
        return raw if isinstance(raw, DataError) else _checked(dataset, clip, raw)
    except DataError as error:
        return error


_kept: list[Dataset] = []  # in a worker: its dataset, which is sent once and not with every clip


def _keep(dataset: Dataset) -> None:
    keep_freed_memory()
    _kept[:] = [dataset]


def _read_kept(clips: Sequence[Clip]) -> list[RawClip | DataError]:
    return [_read(_kept[0], clip) for clip in clips]


class Generated:
    """The clips of a generator; each is made on first use and kept in memory."""

    def __init__(self, dataset: Dataset) -> None:
        self.clips = dataset.clips()
        _check_listed(dataset, self.clips)
        self.digest = dataset.fingerprint()
        self.skipped: tuple[Skipped, ...] = ()
        self._dataset = dataset
        self._made: dict[int, RawClip] = {}

    def raw(self, index: int) -> RawClip:
        if index not in self._made:
            self._made[index] = read_checked(self._dataset, self.clips[index])
        return self._made[index]
