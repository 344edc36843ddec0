"""HDM05: classes and split from file names, every fourth frame, rigid bodies; the real files where they are at hand."""

from pathlib import Path

import numpy as np
import pytest
from motion_files import amc_text, write_hdm05

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.skeleton import HDM31
from skeleton_adv.data.acclaim import positions, read_amc, read_asf
from skeleton_adv.data.hdm05 import BONES, ELEVEN, HDM05
from skeleton_adv.data.store import prepare, read_checked


def test_classes_split_and_name_follow_the_files(tmp_path: Path) -> None:
    root = write_hdm05(tmp_path / "some", ["walk", "clap"], ("bd", "bk", "dg", "mm", "tr"))
    dataset = HDM05(str(root))
    assert dataset.name == "hdm05" and dataset.classes == ("clap", "walk") and len(dataset.clips()) == 10
    assert [(clip.name, clip.label, clip.split) for clip in dataset.clips()][:2] == [
        ("HDM_bd_clap_001_120", 0, "train"),
        ("HDM_bd_walk_001_120", 1, "train"),
    ]
    split = {clip.name[4:6]: clip.split for clip in dataset.clips()}
    assert split == {"bd": "train", "bk": "train", "dg": "train", "mm": "test", "tr": "test"}
    assert HDM05(str(write_hdm05(tmp_path / "eleven", ELEVEN))).name == "hdm05_11"
    assert HDM05(str(tmp_path / "none")).name == "hdm05"
    few = HDM05(str(tmp_path / "eleven"), num_actions=3)
    assert few.classes == ELEVEN[:3] and {clip.label for clip in few.clips()} == {0, 1, 2}


def test_every_fourth_frame_is_read(tmp_path: Path) -> None:
    root = write_hdm05(tmp_path / "set", ["walk", "clap"], frames=10)
    dataset = HDM05(str(root), num_persons=2)
    clip = dataset.clips()[-1]
    raw = read_checked(dataset, clip)
    body = read_asf(root / "HDM_mm.asf")
    whole = positions(body, read_amc(dataset.path(clip), body))
    assert len(whole) == 10 and raw.frames.shape == (3, 3, 31, 2)
    np.testing.assert_array_equal(raw.frames[..., 0], whole[::4].transpose(0, 2, 1).astype(np.float32))
    assert raw.exists[..., 0].all() and not raw.exists[..., 1].any()


def test_bones_of_the_body_are_bones_of_the_file(tmp_path: Path) -> None:
    """The parent of each joint is where its bone starts, and left follows left."""
    body = read_asf(write_hdm05(tmp_path, ["walk", "clap"]) / "HDM_bd.asf")
    assert body.joints == ("root", *BONES) and (0, *body.parents) == HDM31.parents
    for bone, joint in zip(BONES, HDM31.joints[1:], strict=True):
        sides = {"l": "left", "r": "right"}
        side = sides.get(bone[0], "") if bone not in ("lowerback", "lowerneck") else ""
        assert joint.startswith(f"{side}_") if side else not joint.startswith(("left", "right"))


def test_what_is_wrong_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        HDM05(str(tmp_path / "none")).clips()
    root = write_hdm05(tmp_path / "set", ["walk", "clap"])
    dataset = HDM05(str(root))
    clip = dataset.clips()[0]
    dataset.path(clip).write_text(amc_text(4))
    with pytest.raises(DataError, match=r"001_120\.amc: fewer than 5 frames"):
        dataset.read(clip)
    far = amc_text(9).splitlines()
    root_line = [n for n, line in enumerate(far) if line.startswith("root")][4]
    far[root_line] = "root 90000 0 0 0 0 0"
    dataset.path(clip).write_text("\n".join(far))
    with pytest.raises(DataError, match=r"001_120\.amc: frame 5 .*100 m"):
        dataset.read(clip)
    text = (root / "HDM_bd.asf").read_text()
    (root / "HDM_bd.asf").write_text(text.replace("rthumb", "rfinger"))
    with pytest.raises(DataError, match=r"HDM_bd\.asf: .*rfinger"):
        HDM05(str(root)).read(clip)
    (root / "HDM_bd.asf").unlink()
    with pytest.raises(DataError, match=r"HDM_bd\.asf is not accessible"):
        prepare(HDM05(str(root)), tmp_path / "cache")
    (root / "HDM_xx_walk_001_120.amc").write_text("")
    with pytest.raises(DataError, match="HDM_xx_walk"):
        HDM05(str(root)).clips()


def test_another_body_is_another_dataset(tmp_path: Path) -> None:
    root = write_hdm05(tmp_path, ["walk", "clap"])
    first = HDM05(str(root)).fingerprint()
    assert HDM05(str(root), num_frames=16).fingerprint() == first
    (root / "HDM_bd.asf").write_text((root / "HDM_bd.asf").read_text() + "\n")
    assert HDM05(str(root)).fingerprint() != first


def test_the_official_files(shared: Path) -> None:
    """Bones are rigid and as long as in the .asf files; feet are on the ground; the left is on the left."""
    dataset = HDM05(str(shared / "datasets/hdm05_11"))
    clips = dataset.clips()
    assert (dataset.name, dataset.classes, len(clips)) == ("hdm05_11", ELEVEN, 288)
    assert sum(clip.split == "test" for clip in clips) == 99
    up = np.array([0, 1, 0])
    at = HDM31.joints.index
    for actor in ("bd", "bk", "dg", "mm", "tr"):
        clip = next(clip for clip in clips if clip.name.startswith(f"HDM_{actor}_squat"))
        body = read_asf(shared / f"datasets/hdm05_11/HDM_{actor}.asf")
        joints = positions(body, read_amc(dataset.path(clip), body))  # (F, V, 3)
        lengths = np.linalg.norm(joints[:, 1:] - joints[:, list(body.parents)], axis=-1)
        np.testing.assert_allclose(lengths, np.tile([bone.length for bone in body.bones], (len(joints), 1)), atol=1e-9)
        first = joints[0]
        assert 1.5 < first[at("head")] @ up < 2 and 0 < first[:, 1].min() < 0.1
        forward = np.cross(up, first[at("right_hip")] - first[at("left_hip")])
        assert forward @ (first[at("left_toes")] - first[at("left_ankle")]) > 0
        assert joints[:, at("hip_center"), 1].min() < 0.75 * first[at("hip_center"), 1]  # it is a squat
