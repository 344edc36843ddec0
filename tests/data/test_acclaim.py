"""Acclaim's files: forward kinematics of figures whose positions are known, and every mistake named with its line."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from skeleton_adv.core.errors import DataError
from skeleton_adv.data.acclaim import Body, Bone, Motion, positions, read_amc, read_asf, rotation

ASF = """# a comment
:version 1.10
:name VICON
:units
  mass 1.0
  length 0.5
  angle deg
:documentation
   any text, (even this)
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name hand
     direction 1 0 0
     length 1.0
     axis 90 0 0 XYZ
     dof rz
     limits (-160.0 20.0)
  end
  begin
     id 2
     name arm
     direction 2 0 0
     length 2.0  # inches over 0.5
     axis 0 0 0 XYZ
     dof rx ry rz
     limits (-160.0 20.0)
            (-70.0 70.0)
            (-60.0 70.0)
  end
:hierarchy
  begin
    root arm
    arm hand
  end
"""
AMC = """#!OML:ASF somewhere
:FULLY-SPECIFIED
:DEGREES
1
root 0 0 0 0 0 0
arm 0 0 0
hand 0
2
root 1 2 3 0 0 0
arm 0 0 90
hand 0
3
root 0 0 0 0 90 0
hand 90
arm 0 0 0
4
root 0 0 0 0 0 0
arm 90 0 90
hand 0
"""
UNIT = 0.0254 / 0.5  # metres


def written(folder: Path, asf: str = ASF, amc: str = AMC) -> tuple[Path, Path]:
    paths = folder / "a.asf", folder / "a.amc"
    for path, text in zip(paths, (asf, amc), strict=True):
        path.write_text(text)
    return paths


def joints_of(folder: Path, asf: str = ASF, amc: str = AMC) -> np.ndarray:
    """The joints (F, V, 3) of two files, in the unit of the files."""
    body, motion = written(folder, asf, amc)
    return positions(read_asf(body), read_amc(motion, read_asf(body))) / UNIT


def test_the_body_of_a_file(tmp_path: Path) -> None:
    body = read_asf(written(tmp_path)[0])
    assert body.joints == ("root", "arm", "hand") and body.parents == (0, 1)  # the file names the hand first
    assert body.unit == UNIT and [bone.length for bone in body.bones] == [2 * UNIT, UNIT]
    arm, hand = body.bones
    assert arm.limits == ((-160, 20), (-70, 70), (-60, 70)) and arm.dof == ("rx", "ry", "rz") and arm.id == 2
    assert (hand.axis, hand.order, hand.dof, hand.limits) == ((90, 0, 0), "XYZ", ("rz",), ((-160, 20),))


def test_positions_of_a_figure_of_two_bones(tmp_path: Path) -> None:
    """At rest; moved and turned up; turned away, with the hand about its own z, which is -y; two turns of the arm."""
    expected = [
        [(0, 0, 0), (2, 0, 0), (3, 0, 0)],
        [(1, 2, 3), (1, 4, 3), (1, 5, 3)],
        [(0, 0, 0), (0, 0, -2), (1, 0, -2)],
        [(0, 0, 0), (0, 2, 0), (0, 3, 0)],
    ]
    np.testing.assert_allclose(joints_of(tmp_path), expected, atol=1e-12)


def test_the_first_rotation_of_a_line_comes_first(tmp_path: Path) -> None:
    """The arm points along y if x is turned first, and along z if z is turned first."""
    turned = AMC.replace("arm 90 0 90", "arm 90 90 0")
    np.testing.assert_allclose(
        joints_of(tmp_path, ASF.replace("rx ry rz", "rz rx ry"), turned)[3, 1], (0, 0, 2), atol=1e-12
    )
    np.testing.assert_allclose(
        joints_of(tmp_path, ASF.replace("rx ry rz", "rx rz ry"), turned)[3, 1], (0, 2, 0), atol=1e-12
    )
    root = AMC.replace("root 1 2 3 0 0 0", "root 90 90 0 1 2 3").replace("arm 0 0 90", "arm 0 0 0")
    there = joints_of(tmp_path, ASF.replace("TX TY TZ RX RY RZ", "RZ RX RY TX TY TZ"), root)
    np.testing.assert_allclose(there[1, :2], [(1, 2, 3), (1, 2, 5)], atol=1e-12)


def test_the_root_has_an_offset_and_an_orientation(tmp_path: Path) -> None:
    asf = ASF.replace("position 0 0 0", "position 5 6 7").replace("orientation 0 0 0", "orientation 0 0 90")
    np.testing.assert_allclose(joints_of(tmp_path, asf)[0], [(5, 6, 7), (5, 8, 7), (5, 9, 7)], atol=1e-12)


@given(st.tuples(*[st.floats(-720, 720)] * 3), st.permutations("XYZ"))
def test_rotations_are_those_of_scipy(degrees: tuple[float, float, float], order: list[str]) -> None:
    ordered = [degrees["XYZ".index(name)] for name in order]
    known = Rotation.from_euler("".join(order).lower(), ordered, degrees=True).as_matrix()  # lower case: fixed axes
    np.testing.assert_allclose(rotation(np.array(degrees), "".join(order)), known, atol=1e-12)


def test_bones_are_rigid_in_every_motion() -> None:
    rng = np.random.default_rng(0)
    bones = tuple(
        Bone(
            f"b{n}", tuple(rng.normal(size=3)), rng.uniform(0.01, 0.5), tuple(rng.normal(0, 90, 3)), "ZXY", ("rz", "rx")
        )
        for n in range(12)
    )
    parents = tuple(int(rng.integers(0, n + 1)) for n in range(12))
    motion = Motion(rng.normal(0, 50, (40, 6)), tuple(rng.normal(0, 90, (40, 2)) for _ in bones))
    joints = positions(Body(bones, parents, unit=0.05), motion)
    assert joints.shape == (40, 13, 3) and joints.dtype == np.float64
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, list(parents)], axis=-1)
    np.testing.assert_allclose(lengths, np.tile([bone.length for bone in bones], (40, 1)), rtol=0, atol=1e-9)


BAD_ASF = [
    (":hierarchy", ":tree", "section :hierarchy is missing"),
    ("length 0.5", "mass 0.5", "section :units has no length"),
    ("length 0.5", "length 0", r"a\.asf:6: length 0 is no scale"),
    ("angle deg", "angle rad", r"a\.asf:7: .*degrees"),
    ("TX TY TZ", "TX TY", r"a\.asf:11: the order of the root"),
    ("axis XYZ", "axis XYX", r"a\.asf:12: the order of rotations"),
    ("position 0 0 0", "position 0 0", r"a\.asf:13: position requires 3"),
    ("direction 1 0 0", "direction 1 0 nan", r"a\.asf:19: hand: direction"),
    ("direction 1 0 0", "direction 0 0 0", r"a\.asf:19: hand: the direction must not be 0"),
    ("length 1.0", "length -1", r"a\.asf:20: hand: length -1"),
    ("length 1.0", "length 1e5", r"a\.asf:20: hand: length"),
    ("     length 1.0\n", "", r"a\.asf:17: .*no length"),
    ("name hand", "name root", r"a\.asf:18: 'root'"),
    ("name hand", "name arm", r"a\.asf:27: 'arm'"),
    ("dof rz", "dof tz", r"a\.asf:22: hand: dof tz"),
    ("limits (-160.0 20.0)\n  end", "limits (-160.0)\n  end", r"a\.asf:23: hand: limits requires 2"),
    ("    arm hand\n", "", "does not connect hand with the root"),
    ("    root arm\n", "    hand arm\n", "does not connect"),
    ("    arm hand\n", "    arm hand foot\n", r"a\.asf:39: 'foot' is no bone"),
    ("    arm hand\n", "    arm hand hand\n", r"a\.asf:39: hand has two parents"),
    ("    arm hand\n  end\n", "    arm hand\n", "has no end"),
    ("  begin\n     id 2", "     id 2", "outside begin and end"),
    (":name VICON", ":units", "appears twice"),
]


@pytest.mark.parametrize(("old", "new", "words"), BAD_ASF)
def test_a_broken_body_is_named_with_its_line(old: str, new: str, words: str, tmp_path: Path) -> None:
    assert old in ASF
    path, _ = written(tmp_path, ASF.replace(old, new, 1))
    with pytest.raises(DataError, match=words) as caught:
        read_asf(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


BAD_AMC = [
    ("3\nroot", "4\nroot", r"a\.amc:12: expected the number of frame 3.*'4'"),
    ("arm 0 0 90\n", "", r"a\.amc:11: frame 2: the values of arm are missing"),
    ("arm 0 0 90\n", "arm 0 0\n", r"a\.amc:10: frame 2: arm requires 3"),
    ("arm 0 0 90\n", "arm 0 0 inf\n", r"a\.amc:10: frame 2: arm requires 3"),
    ("arm 0 0 90\n", "arm 0 0 x\n", r"a\.amc:10: frame 2: arm requires 3"),
    ("arm 0 0 90\n", "leg 0 0 90\n", r"a\.amc:10: frame 2: 'leg'"),
    ("arm 0 0 90\n", "arm 0 0 90\narm 0 0 90\n", r"a\.amc:11: frame 2: the values of arm appear twice"),
    ("1\nroot", "root", r"a\.amc:4: .*'root'"),
    ("hand 0\n2\n", "hand 0\n\xb2\n", r"a\.amc:8: "),  # a superscript two is a digit for Python
    (":DEGREES", ":RADIANS", r"a\.amc:3: .*radians"),
    (":DEGREES\n", "", "does not state :DEGREES"),
    (AMC[AMC.index("1\nroot") :], "", "contains no frame"),
    ("hand 0\n2", "2", r"a\.amc:7: frame 1: the values of hand are missing"),
]


@pytest.mark.parametrize(("old", "new", "words"), BAD_AMC)
def test_a_broken_motion_is_named_with_its_line_and_frame(old: str, new: str, words: str, tmp_path: Path) -> None:
    assert old in AMC
    body, path = written(tmp_path)
    path.write_bytes(AMC.replace(old, new, 1).encode("latin-1"))
    with pytest.raises(DataError, match=words) as caught:
        read_amc(path, read_asf(body))
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.asf is not readable"):
        read_asf(tmp_path / "none.asf")
