"""Preparation: whole or not at all, the same on every machine, with clear messages about broken files."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.data import store as store_module
from skeleton_adv.data.clips import load_batch
from skeleton_adv.data.dataset import Clip, Dataset, RawClip
from skeleton_adv.data.store import Store, prepare
from skeleton_adv.data.utd_mhad import UTDMHAD


def store_of(folder: Path, cache: Path, **settings: Any) -> Store:
    store = prepare(UTDMHAD(str(folder), **settings), cache)
    assert isinstance(store, Store)
    return store


def test_clips_come_back_as_they_were_read(mat_folder: Path, tmp_path: Path) -> None:
    dataset = UTDMHAD(str(mat_folder))
    store = store_of(mat_folder, tmp_path)
    assert len(store.clips) == 24 and {clip.split for clip in store.clips} == {"train", "test"}
    assert [clip.split for clip in store.clips if "_s3_" in clip.name] == ["train"] * 6
    for number in (0, 7, 23):
        raw, again = dataset.read(store.clips[number]), store.raw(number)
        np.testing.assert_array_equal(raw.frames, again.frames)
        np.testing.assert_array_equal(raw.exists, again.exists)


def test_batches_have_the_attack_spaces_shape(mat_folder: Path, tmp_path: Path) -> None:
    dataset = UTDMHAD(str(mat_folder), num_persons=2)
    batch = load_batch(dataset, store_of(mat_folder, tmp_path, num_persons=2), [3, 5])
    assert batch.x.shape == (2, 3, 32, 20, 2) and batch.x.is_contiguous()
    assert batch.mask[..., 0].all() and not batch.mask[..., 1].any()
    length = 40 + 3 * 2 + 2  # subject 2, trial 2
    assert batch.dt[0].item() == pytest.approx((length - 2 * int(0.05 * length / 2)) / 32 / 30, rel=1e-6)


def test_digest_is_of_the_content_and_survives_a_copy(mat_folder: Path, tmp_path: Path) -> None:
    first = store_of(mat_folder, tmp_path / "cache")
    copy = shutil.copytree(mat_folder, tmp_path / "copy", copy_function=shutil.copyfile)
    assert store_of(copy, tmp_path / "cache").digest == first.digest
    one = next(copy.glob("*.mat"))
    savemat(one, {"d_skel": np.ones((20, 3, 50))})
    assert store_of(copy, tmp_path / "cache").digest != first.digest


def interrupted(clips: Any, total: int) -> Any:
    for number, clip in enumerate(clips):
        if number == total // 2:
            raise KeyboardInterrupt
        yield clip


@dataclass(frozen=True)
class Counted(UTDMHAD):
    """Lists the clips that are read; one of them is broken."""

    def read(self, clip: Clip) -> RawClip:
        READ.append(clip.name)
        if clip.name == "a1_s2_t1":
            raise DataError(f"{clip.name} is broken")
        return super().read(clip)


READ: list[str] = []


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix in (".npy", ".json")}


@pytest.mark.parametrize("damage", ["none", "cut", "flipped", "journal", "no journal", "longer"])
def test_an_interrupted_preparation_continues(damage: str, mat_folder: Path, tmp_path: Path) -> None:
    """Clips that were read are not read again, unless they were damaged; the store is the same in any case."""
    dataset = Counted(str(mat_folder), on_error="skip")
    whole = prepare(dataset, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        prepare(dataset, tmp_path / "cut", interrupted)
    (part,) = tmp_path.rglob("*.part")
    assert not [*tmp_path.glob("cut/**/store.json")]
    frames, journal = part / "frames.npy", part / "journal.jsonl"
    assert len(journal.read_text().splitlines()) == 12
    if damage == "cut":
        frames.write_bytes(frames.read_bytes()[:-5])
    elif damage == "flipped":
        content = bytearray(frames.read_bytes())
        content[len(content) // 2] ^= 1
        frames.write_bytes(content)
    elif damage == "journal":
        journal.write_text(journal.read_text()[:-9])
    elif damage == "no journal":
        journal.unlink()
    elif damage == "longer":  # clips that were written after the last entry
        (part / "exists.npy").write_bytes((part / "exists.npy").read_bytes() + b"\x01" * 100)
    READ.clear()
    again = prepare(dataset, tmp_path / "cut")
    assert again.digest == whole.digest and again.clips == whole.clips and again.skipped == whole.skipped
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole") and not [*tmp_path.rglob("*.part")]
    read = {"none": 12, "longer": 12, "cut": 13, "journal": 13, "no journal": 24}
    assert len(READ) == read.get(damage, len(READ)) and 12 <= len(READ) <= 24


def test_the_remains_of_a_killed_preparation_are_removed(mat_folder: Path, tmp_path: Path) -> None:
    store = store_of(mat_folder, tmp_path)
    folder = next(tmp_path.rglob("store.json")).parent
    folder.rename(folder.with_suffix(".part"))
    (folder.with_suffix(".part") / "store.json").unlink()
    assert store_of(mat_folder, tmp_path).digest == store.digest
    assert not list(tmp_path.rglob("*.part"))


BROKEN = {
    "empty": b"",
    "not MATLAB": b"hello, this is no such file" * 20,
}


@pytest.mark.parametrize("content", [*BROKEN, "truncated", "wrong joints", "not finite", "no variable", "one frame"])
def test_a_broken_file_is_named_and_nothing_is_written(content: str, mat_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(mat_folder, tmp_path / "data")
    victim = folder / "a2_s3_t1_skeleton.mat"
    if content in BROKEN:
        victim.write_bytes(BROKEN[content])
    elif content == "truncated":
        victim.write_bytes(victim.read_bytes()[:900])
    else:
        array = np.random.default_rng(0).normal(size=(20, 3, 50))
        array = {"wrong joints": array[:19], "one frame": array[..., :1]}.get(content, array)
        if content == "not finite":
            array[3, 1, 20] = np.nan
        savemat(victim, {"other" if content == "no variable" else "d_skel": array})
    with pytest.raises(DataError, match=rf"{victim}.*on_error=skip"):
        store_of(folder, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.npy"))
    store = store_of(folder, tmp_path / "cache", on_error="skip")
    assert [skipped.name for skipped in store.skipped] == ["a2_s3_t1"] and len(store.clips) == 23


@pytest.mark.parametrize("name", ["a28_s1_t1_skeleton.mat", "a0_s1_t1_skeleton.mat", "walk.mat"])
def test_a_name_that_cannot_be_read_is_named(name: str, mat_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(mat_folder, tmp_path / "data")
    shutil.copy(folder / "a1_s1_t1_skeleton.mat", folder / name)
    with pytest.raises(DataError, match=name):
        store_of(folder, tmp_path / "cache")


@pytest.mark.parametrize(
    ("file", "size"), [("store.json", 40), ("frames.npy", 40), ("frames.npy", 0), ("exists.npy", 9)]
)
def test_a_truncated_store_is_named(file: str, size: int, mat_folder: Path, tmp_path: Path) -> None:
    store_of(mat_folder, tmp_path)
    (path,) = tmp_path.rglob(file)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"is damaged .*delete it"):
        store_of(mat_folder, tmp_path)


def listing_of(cache: Path) -> tuple[Path, dict[str, Any]]:
    (path,) = cache.rglob("store.json")
    return path, json.loads(path.read_text())


def write_listing(path: Path, content: Any, sealed: bool) -> None:
    """Change the listing of a store, and with ``sealed`` also its digest."""
    path.write_text(json.dumps(content))
    if sealed:
        path.with_name("store.sha256").write_text(hashlib.sha256(path.read_bytes()).hexdigest())


def shift_labels(content: dict[str, Any]) -> None:
    for clip in content["clips"]:
        clip["label"] = (clip["label"] + 1) % 3


LISTINGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "labels": shift_labels,
    "a split": lambda content: content["clips"][3].update(
        split="train" if content["clips"][3]["split"] == "test" else "test"
    ),
    "the order": lambda content: content["clips"].reverse(),
    "the digest": lambda content: content.update(digest="0" * 64),
    "a clip's digest": lambda content: content["clip_digests"].__setitem__(0, "0" * 64),
    "a skipped clip": lambda content: content["skipped"].append({"name": "a", "reason": "b"}),
    "lengths of one sum": lambda content: content["lengths"].__setitem__(slice(0, 2), content["lengths"][1::-1]),
    "no clips": lambda content: content.pop("clips"),
}


@pytest.mark.parametrize("what", LISTINGS)
def test_a_changed_listing_is_refused_when_the_store_is_opened(what: str, mat_folder: Path, tmp_path: Path) -> None:
    store_of(mat_folder, tmp_path)
    path, content = listing_of(tmp_path)
    before = json.dumps(content)
    LISTINGS[what](content)
    assert json.dumps(content) != before
    write_listing(path, content, sealed=False)
    with pytest.raises(DataError, match=rf"^{path.parent} is damaged [^\n]*delete it"):
        store_of(mat_folder, tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"lengths": [5] * 24}, {"shape": [3, 20]}, {"shape": [2, 20, 1]}, {"clips": [{"label": 0}]}, {"clips": 5}],
    ids=str,
)
def test_a_listing_that_does_not_fit_the_arrays_is_refused(
    change: dict[str, Any], mat_folder: Path, tmp_path: Path
) -> None:
    store_of(mat_folder, tmp_path)
    path, content = listing_of(tmp_path)
    write_listing(path, content, sealed=True)
    store_of(mat_folder, tmp_path)
    for bad in ({**content, **change}, {}, []):
        write_listing(path, bad, sealed=True)
        with pytest.raises(DataError, match="is damaged"):
            store_of(mat_folder, tmp_path)


ARRAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "float64": lambda array: array.astype(np.float64),
    "a row less": lambda array: array[1:],
    "a row more": lambda array: np.concatenate([array, array[:1]]),
    "an axis more": lambda array: array[..., None],
    "objects": lambda array: array.astype(object),
}


@pytest.mark.parametrize("file", ["frames.npy", "exists.npy"])
@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_of_another_kind_is_refused(kind: str, file: str, mat_folder: Path, tmp_path: Path) -> None:
    store_of(mat_folder, tmp_path)
    (path,) = tmp_path.rglob(file)
    np.save(path, ARRAYS[kind](np.load(path)))
    with pytest.raises(DataError, match=r"is damaged .*delete it"):
        store_of(mat_folder, tmp_path).raw(0)


def test_a_missing_file_of_a_store_is_reported(mat_folder: Path, tmp_path: Path) -> None:
    for name in ("store.json", "store.sha256", "frames.npy", "exists.npy"):
        store_of(mat_folder, tmp_path / name)
        (path,) = (tmp_path / name).rglob(name)
        path.unlink()
        with pytest.raises(DataError, match=r"is damaged .*delete it"):
            store_of(mat_folder, tmp_path / name)


@pytest.mark.parametrize("file", ["frames.npy", "exists.npy"])
def test_a_changed_clip_is_refused_when_it_is_loaded_and_no_other(file: str, mat_folder: Path, tmp_path: Path) -> None:
    length = len(store_of(mat_folder, tmp_path).raw(0).frames)
    (path,) = tmp_path.rglob(file)
    array = np.load(path, mmap_mode="r+")
    array[length] = ~array[length] if array.dtype == np.bool_ else array[length] + 1e-6  # the second clip's first frame
    array.flush()
    store = store_of(mat_folder, tmp_path)  # opened without reading the frames
    for number in range(24):
        if number != 1:
            store.raw(number)
    with pytest.raises(DataError, match=rf"is damaged \(clip {store.clips[1].name} "):
        store.raw(1)


def test_a_clip_is_hashed_once(mat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(mat_folder, tmp_path)
    hashed, digest = [], store_module.digest_of
    monkeypatch.setattr(store_module, "digest_of", lambda raw: hashed.append(raw) or digest(raw))
    for number in (3, 5, 3, 3, 5):
        store.raw(number)
    assert len(hashed) == 2


def test_the_digest_is_of_clips_in_order(mat_folder: Path, tmp_path: Path) -> None:
    dataset = UTDMHAD(str(mat_folder))
    by_hand = hashlib.sha256()
    for clip in dataset.clips():
        raw = dataset.read(clip)
        by_hand.update(repr((clip, raw.frames.shape)).encode() + raw.frames.tobytes() + raw.exists.tobytes())
    assert store_of(mat_folder, tmp_path).digest == by_hand.hexdigest()


@dataclass(frozen=True)
class Made(Dataset):
    """A generator of one clip, in which a test puts a wrong value."""

    spoil: str = ""
    generated = True
    name = "made"
    skeleton = KINECT20
    all_classes = ("one", "other")

    def fingerprint(self) -> str:
        return self.spoil

    def clips(self) -> tuple[Clip, ...]:
        clip = Clip("a", 2 if self.spoil == "a label" else 1, "test")
        return (clip, replace(clip, label=0)) if self.spoil == "a name" else (clip,)

    def read(self, clip: Clip) -> RawClip:
        frames, exists = np.zeros((9, 3, 20, 1), np.float32), np.ones((9, 20, 1), bool)
        if self.spoil in ("nan", "inf", "1e6", "-101"):
            frames[4, 1, 7, 0] = float(self.spoil)
        return {
            "float64": RawClip(frames.astype(float), exists),
            "a joint less": RawClip(frames[:, :, :19], exists),
            "two persons": RawClip(np.repeat(frames, 2, axis=3), exists),
            "one frame": RawClip(frames[:1], exists[:1]),
            "whole numbers": RawClip(frames, exists.astype(np.uint8)),
            "less is there": RawClip(frames, exists[1:]),
        }.get(self.spoil, RawClip(frames, exists))


class MadeOfFiles(Made):
    generated = False


READ = [
    "nan",
    "inf",
    "1e6",
    "-101",
    "float64",
    "a joint less",
    "two persons",
    "one frame",
    "whole numbers",
    "less is there",
]


@pytest.mark.parametrize("spoil", [*READ, "a label", "a name"])
@pytest.mark.parametrize("kind", [Made, MadeOfFiles])
def test_values_that_no_recording_contains_are_refused(kind: type[Made], spoil: str, tmp_path: Path) -> None:
    assert np.isfinite(prepare(kind(), tmp_path).raw(0).frames).all()
    with pytest.raises(DataError, match=r"^made: [^\n]*$"):
        prepare(kind(spoil=spoil), tmp_path).raw(0)
    assert len(list(tmp_path.rglob("frames.npy"))) == (kind is MadeOfFiles)


def test_the_frame_of_an_impossible_coordinate_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"clip a: frame 5 "):
        prepare(Made(spoil="1e6"), tmp_path).raw(0)


def test_many_processes_make_the_same_store(mat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "CLIPS_PER_WORKER", 8)
    folder = shutil.copytree(mat_folder, tmp_path / "data")
    (folder / "a2_s3_t1_skeleton.mat").write_bytes(b"broken")
    dataset = UTDMHAD(str(folder), on_error="skip")
    alone, many = (prepare(dataset, tmp_path / str(workers), workers=workers) for workers in (1, 2))
    assert isinstance(many, Store) and many.digest == alone.digest and len(many.skipped) == 1
    with pytest.raises(DataError, match="a2_s3_t1"):
        prepare(UTDMHAD(str(folder)), tmp_path / "stopped", workers=2)
    assert not list((tmp_path / "stopped").rglob("*.npy"))


@pytest.mark.parametrize("own", ["", "class UTDMHAD(UTDMHAD):\n    pass\n"])
def test_a_script_without_a_main_guard_reads_files_in_many_processes(
    own: str, mat_folder: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from skeleton_adv.data import store\n"
        "from skeleton_adv.data.utd_mhad import UTDMHAD\n"
        f"{own}store.CLIPS_PER_WORKER = 8\n"
        f"print(len(store.prepare(UTDMHAD({str(mat_folder)!r}), Path({str(tmp_path)!r}), workers=2).clips))\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0 and ended.stdout == "24\n", ended.stderr


class Dying(UTDMHAD):
    """Reading the fifth clip kills the process."""

    def read(self, clip: Clip) -> RawClip:
        if clip.name == "a1_s3_t1":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(clip)


def test_a_killed_reader_is_reported_at_once(mat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "CLIPS_PER_WORKER", 8)
    with pytest.raises(DataError, match=r"was killed.*runtime\.workers=1"):
        prepare(Dying(str(mat_folder)), tmp_path, workers=2)
    assert not list(tmp_path.rglob("store.json"))


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.root=.*nowhere"):
        store_of(tmp_path / "nowhere", tmp_path)
    with pytest.raises(DataError, match=r"no \.mat file"):
        store_of(tmp_path, tmp_path)


def test_the_official_files(shared: Path, tmp_path: Path) -> None:
    store = store_of(shared / "datasets/utd_mhad", tmp_path)
    counts = {split: sum(clip.split == split for clip in store.clips) for split in ("train", "test")}
    assert counts == {"train": 431, "test": 430} and {clip.label for clip in store.clips} == set(range(27))
    assert Clip("a27_s8_t3", 26, "test") in store.clips
    assert all(store.raw(number).exists.all() for number in range(0, 861, 50))
    assert store.digest == "6ede2d29acd2bf79cb9eafa8a2c5dba6eb44a097eca8419495e87decf9158bfd"
