"""Artificial .skeleton files: bodies, splits, and messages about broken files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.skeleton import NTU25
from skeleton_adv.data.clips import centre_crop, load_batch, resample
from skeleton_adv.data.ntu import (
    MISSING,
    NTU,
    TRAIN_SUBJECTS,
    TRAIN_SUBJECTS_120,
    energy,
    read_skeleton_file,
    select_bodies,
)
from skeleton_adv.data.ntu_classes import NTU60_CLASSES, NTU120_CLASSES
from skeleton_adv.data.store import Store, prepare
from skeleton_adv.models.agcn import Bones
from skeleton_adv.models.preprocess import CenterPerFrame, PreNormalize


def skeleton_text(frames: Sequence[Sequence[np.ndarray]]) -> str:
    """The text of a file with these bodies (25, 3) in each frame."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for number, joints in enumerate(bodies):
            lines += [f"7205759403793{number} 0 1 1 1 1 0 0.1 0.2 2", "25"]
            lines += [f"{x:.7f} {y:.7f} {z:.7f} 200 200 900 500 0.1 0.2 0.3 0.4 2" for x, y, z in joints]
    return "\n".join(lines) + "\n"


def moving(seed: int, frames: int = 30, size: float = 0.1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    rest = rng.normal(0, 0.3, (25, 3)) + (0, 0, 3)
    return [rest + size * rng.normal(size=(25, 3)) for _ in range(frames)]


def write(folder: Path, name: str, *bodies: list[np.ndarray]) -> Path:
    path = folder / f"{name}.skeleton"
    path.write_text(skeleton_text(list(zip(*bodies, strict=True))))
    return path


def test_bodies_come_back_in_metres(tmp_path: Path) -> None:
    first, second = moving(0), moving(1)
    raw = read_skeleton_file(write(tmp_path, "S001C001P001R001A050", first, second))
    assert raw.frames.shape == (30, 3, 25, 4)
    np.testing.assert_allclose(raw.frames[..., 0].transpose(0, 2, 1), np.array(first), atol=1e-6)
    np.testing.assert_allclose(raw.frames[..., 1].transpose(0, 2, 1), np.array(second), atol=1e-6)
    assert raw.exists[..., :2].all() and not raw.exists[..., 2:].any()


def test_bodies_that_move_most_are_kept_in_listed_order(tmp_path: Path) -> None:
    still, lively, liveliest = (moving(k, size=size) for k, size in enumerate((0.0, 0.3, 0.9)))
    raw = read_skeleton_file(write(tmp_path, "S001C001P001R001A050", still, lively, liveliest))
    kept = select_bodies(raw, 2)
    np.testing.assert_array_equal(kept.frames, raw.frames[..., 1:3])
    by_hand = np.array(lively).reshape(-1, 3).std(axis=0).sum()
    assert energy(raw.frames[..., 1], raw.exists[..., 1]) == pytest.approx(by_hand, rel=1e-5)


def test_frames_without_a_body_remain_empty(tmp_path: Path) -> None:
    frames = [[body] for body in moving(0, 10)]
    frames[4] = []
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_text(skeleton_text(frames))
    raw = read_skeleton_file(path)
    assert raw.exists.any(axis=(1, 2)).tolist() == [k != 4 for k in range(10)] and not raw.frames[4].any()


def test_official_splits_and_the_missing_samples(tmp_path: Path) -> None:
    names = ["S001C001P001R001A001", "S001C002P003R001A060", "S001C003P002R001A002", "S001C001P003R002A003"]
    for name in names:
        write(tmp_path, name, moving(0, 3))
    missing = MISSING.read_text().split()
    assert len(missing) == len(set(missing)) == 535
    assert sum(int(name[1:4]) <= 17 for name in missing) == 302
    (tmp_path / f"{missing[0]}.skeleton").write_text("broken")
    splits = {}
    for protocol in ("cs", "cv"):
        dataset = NTU(str(tmp_path), protocol=protocol)
        splits[protocol] = {clip.name: clip.split for clip in dataset.clips()}
    assert sorted(splits["cs"]) == sorted(names)
    assert [splits["cs"][name] for name in names] == ["train", "test", "train", "test"]
    assert [splits["cv"][name] for name in names] == ["test", "train", "train", "test"]
    assert [clip.label for clip in NTU(str(tmp_path), num_actions=2).clips()] == [0, 1]
    dataset = NTU(str(tmp_path), protocol="cv")
    store = prepare(dataset, tmp_path / "cache")
    assert isinstance(store, Store) and load_batch(dataset, store, [0, 3]).x.shape == (2, 3, 64, 25, 2)


def test_splits_of_120_actions_in_one_folder(tmp_path: Path) -> None:
    names = ["S001C001P001R001A001", "S017C002P040R001A060", "S018C001P041R001A061", "S032C003P103R002A120"]
    names += ["S031C001P106R001A120"]
    for name in names:
        write(tmp_path, name, moving(0, 3))
    splits = {p: [clip.split for clip in NTU(str(tmp_path), p, 120).clips()] for p in ("xsub120", "xset120")}  # type: ignore[arg-type]
    assert splits["xsub120"] == ["train", "test", "test", "test", "train"]  # in the order of names
    assert splits["xset120"] == ["test", "test", "train", "test", "train"]
    assert [clip.name for clip in NTU(str(tmp_path)).clips()] == names[:2]
    assert NTU(str(tmp_path), "xset120", 120).name == "ntu120_xset"
    assert len(TRAIN_SUBJECTS) == 20 and len(TRAIN_SUBJECTS_120) == 53
    with pytest.raises(SettingError, match="num_actions=61: ntu60_cs has 60"):
        NTU(str(tmp_path), num_actions=61)


def test_classes_are_named_once() -> None:
    assert len(set(NTU60_CLASSES)) == 60 and len(set(NTU120_CLASSES)) == 120
    assert NTU60_CLASSES[49] == "punch_other_person" and NTU120_CLASSES[119] == "rock_paper_scissors"


TEXT = skeleton_text([[body] for body in moving(0, 3)])
LINES = TEXT.splitlines()
BROKEN = {
    "empty": ("", ":0: the file ends before the number of frames"),
    "truncated": ("\n".join(LINES[:40]), ":40: the file ends before joint"),
    "wrong joint count": (TEXT.replace("\n25\n", "\n24\n", 1), ":4: 24 joints, not 25"),
    "not a number": (TEXT.replace(LINES[9].split()[0], "x.y", 1), ":10: not the coordinates of a joint"),
    "one coordinate": (TEXT.replace(LINES[9], "0.5", 1), ":10: not the coordinates of a joint"),
    "NaN": (TEXT.replace(LINES[9].split()[1], "nan", 1), ":10: a coordinate is not finite"),
    "infinite as float32": (TEXT.replace(LINES[9].split()[1], "1e39", 1), ":10: a coordinate is not finite or exceeds"),
    "a thousand km": (TEXT.replace(LINES[9].split()[1], "-1e6", 1), ":10: a coordinate is not finite or exceeds"),
    "5000 digits": (TEXT.replace("3\n", "9" * 5000 + "\n", 1), ":1: expected the number of frames"),
    "too many frames": (TEXT.replace("3\n", "900000000\n", 1), ":1: 900000000 frames"),
    "no body": ("3\n0\n0\n0\n", "no frame lists a body"),
    "not text": ("ä" * 50, "not a readable text file"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_with_its_line(kind: str, tmp_path: Path) -> None:
    text, message = BROKEN[kind]
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(DataError) as caught:
        read_skeleton_file(path)
    assert str(path) in str(caught.value) and message in str(caught.value) and "\n" not in str(caught.value)


def test_a_directory_and_an_unparsable_name_are_named(tmp_path: Path) -> None:
    (tmp_path / "S001C001P001R001A001.skeleton").mkdir()
    with pytest.raises(DataError, match="not a readable text file"):
        NTU(str(tmp_path)).read(NTU(str(tmp_path)).clips()[0])
    (tmp_path / "walk.skeleton").write_text("")
    with pytest.raises(DataError, match=r"walk\.skeleton: the name does not have the form"):
        NTU(str(tmp_path)).clips()


def test_public_pipelines_golden_outputs(shared: Path) -> None:
    golden = np.load(shared / "golden/preprocessing.npz")
    for number, name in enumerate(golden["names"]):
        raw = select_bodies(read_skeleton_file(shared / f"golden/ntu_raw/{name}.skeleton"), 2)
        x = torch.from_numpy(resample(raw, 0, len(raw.frames), 300)[0])[None]
        tiled = PreNormalize(NTU25)(x.double())
        np.testing.assert_allclose(tiled[0].numpy(), golden["agcn_joint"][number], atol=1e-6)
        np.testing.assert_allclose(Bones(NTU25).double()(tiled)[0].numpy(), golden["agcn_bone"][number], atol=1e-6)
        for frames in (32, 64):
            start, length = centre_crop(len(raw.frames), 0.95)
            cut = torch.from_numpy(resample(raw, start, length, frames)[0])[None]
            centred = CenterPerFrame(NTU25)(cut)[0].numpy()
            np.testing.assert_allclose(centred, golden[f"hcn_test_{frames}"][number], atol=2e-6)
