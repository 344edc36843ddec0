"""Preparation: whole or not at all, the same everywhere, and plain about broken files."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from skeleton_adv.core.errors import DataError
from skeleton_adv.data import store as store_module
from skeleton_adv.data.clips import Clip, RawClip, load_batch
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


def test_an_interrupted_preparation_leaves_nothing_and_starts_again(mat_folder: Path, tmp_path: Path) -> None:
    def interrupted(clips: Any, total: int) -> Any:
        for number, clip in enumerate(clips):
            if number == total // 2:
                raise KeyboardInterrupt
            yield clip

    with pytest.raises(KeyboardInterrupt):
        prepare(UTDMHAD(str(mat_folder)), tmp_path, interrupted)
    assert not list(tmp_path.rglob("*.npy")) and not list(tmp_path.rglob("*.raw"))
    assert len(store_of(mat_folder, tmp_path).clips) == 24


def test_what_a_killed_preparation_left_is_cleared(mat_folder: Path, tmp_path: Path) -> None:
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


@pytest.mark.parametrize(("file", "size"), [("store.json", 40), ("frames.npy", 40), ("frames.npy", 0)])
def test_a_store_that_was_cut_is_named(file: str, size: int, mat_folder: Path, tmp_path: Path) -> None:
    store_of(mat_folder, tmp_path)
    (path,) = tmp_path.rglob(file)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"is damaged .*delete it"):
        store_of(mat_folder, tmp_path)


def test_many_processes_make_the_same_store(mat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "CLIPS_A_WORKER", 8)
    folder = shutil.copytree(mat_folder, tmp_path / "data")
    (folder / "a2_s3_t1_skeleton.mat").write_bytes(b"broken")
    dataset = UTDMHAD(str(folder), on_error="skip")
    alone, many = (prepare(dataset, tmp_path / str(workers), workers=workers) for workers in (1, 2))
    assert isinstance(many, Store) and many.digest == alone.digest and len(many.skipped) == 1
    with pytest.raises(DataError, match="a2_s3_t1"):
        prepare(UTDMHAD(str(folder)), tmp_path / "stopped", workers=2)
    assert not list((tmp_path / "stopped").rglob("*.npy"))


class Dying(UTDMHAD):
    """Reading the fifth clip kills the process."""

    def read(self, clip: Clip) -> RawClip:
        if clip.name == "a1_s3_t1":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(clip)


def test_a_killed_reader_is_told_not_waited_for(
    mat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "CLIPS_A_WORKER", 8)
    with pytest.raises(DataError, match=r"was killed.*runtime\.workers=1"):
        prepare(Dying(str(mat_folder)), tmp_path, workers=2)
    assert not list(tmp_path.rglob("*.npy"))


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
