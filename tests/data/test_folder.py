"""A user's folder: three file formats of one motion, splits, and one line for every mistake."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import forked
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from own_folders import SHEET, motion, small, write_csv, write_folder

from skeleton_adv.core.errors import DataError, SettingError, UserError
from skeleton_adv.core.skeleton import BODY25, COCO17, KINECT20, NTU25, Skeleton
from skeleton_adv.data.arrays import to_raw
from skeleton_adv.data.clips import load_batch
from skeleton_adv.data.folder import Folder
from skeleton_adv.data.folder_clips import read_clip_file
from skeleton_adv.data.folder_skeleton import read_about
from skeleton_adv.data.store import prepare

TWO = "file,label\na,walk\nb,run\n"


def read_all(folder: Path, cache: Path, **changes: Any) -> Any:
    return prepare(Folder(str(folder), **changes), cache)


def test_a_folder_becomes_batches(tmp_path: Path) -> None:
    dataset = Folder(str(small(tmp_path / "My Clips")), num_frames=16)
    prepared = prepare(dataset, tmp_path / "cache")
    assert (dataset.name, dataset.skeleton, dataset.fps, dataset.unit) == ("my_clips", KINECT20, 30, "m")
    assert dataset.classes == ("kick", "wave")
    listed = [(clip.name, clip.label, clip.split) for clip in prepared.clips]
    assert listed == [
        ("train/kick_s1", 0, "train"),
        ("train/wave_s1", 1, "train"),
        *((f"test/{name}_s2", label, "test") for label, name in enumerate(("kick", "wave"))),
    ]
    batch = load_batch(dataset, prepared, [0, 3])
    assert batch.x.shape == (2, 3, 16, 20, 1) and batch.mask.all()
    assert batch.dt.tolist() == pytest.approx([20 / 16 / 30, 35 / 16 / 30])  # test_crop is 1


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 99),
    frames=st.integers(2, 6),
    persons=st.integers(1, 2),
    first=st.integers(-2, 3),
    named=st.booleans(),
    unit=st.sampled_from(["m", "cm", "mm"]),
    kind=st.sampled_from(["f4", "f8"]),
)
def test_one_motion_in_three_formats_is_one_clip(
    tmp_path: Path, seed: int, frames: int, persons: int, first: int, named: bool, unit: Any, kind: str
) -> None:
    """To the bit, with lost joints and persons, for any number of the first frame."""
    rng = np.random.default_rng(seed)
    clip = motion(frames, seed, persons=persons) * {"m": 1, "cm": 100, "mm": 1000}[unit]
    clip[:, rng.random(clip.shape[1:]) < 0.2] = np.nan
    clip[:, 0, 0, 0], clip[:, -1, 0, -1] = 0.3, 0.4  # the first frame, the last and the last person have a joint
    clip[:, 0, 1, -1] = 0.5
    clip = clip.astype(kind)
    there = ~np.isnan(clip).any(axis=0)
    np.save(tmp_path / "a.npy", clip)
    np.savez(tmp_path / "b.npz", x=np.where(there, clip, 7), mask=there)
    np.savez_compressed(tmp_path / "c.npz", motion=clip)
    write_csv(tmp_path / "d.csv", clip, KINECT20.joints if named else None, first)
    np.save(tmp_path / "e.npy", np.asfortranarray(clip))

    def raw(name: str) -> Any:
        values, mask = read_clip_file(tmp_path / name, KINECT20)
        return to_raw(values, KINECT20, unit=unit, mask=mask, where=name)

    one = raw("a.npy")
    np.testing.assert_array_equal(one.exists, there)
    for name in ("b.npz", "c.npz", "d.csv", "e.npy"):
        other = raw(name)
        np.testing.assert_array_equal(other.exists, one.exists, err_msg=name)
        np.testing.assert_array_equal(other.frames, one.frames, err_msg=name)


def test_pixels_with_scores_in_a_table(tmp_path: Path) -> None:
    sheet = "like: coco17\nunit: px\nimage_size: [640, 480]\nfps: 25\n"
    folder = write_folder(tmp_path / "own", "file,label\na.csv,walk\nb.csv,run\n", {}, sheet)
    rows = "frame,joint,x,y,score\n0,nose,320,0,0.5\n0,1,330,40,0\n1,nose,0,480,1\n1,left_eye,40,440,1\n"
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(rows)
    dataset = Folder(str(folder))
    raw = prepare(dataset, tmp_path / "cache").raw(0)
    assert dataset.skeleton == COCO17 and dataset.unit == "image" and dataset.fps == 25
    assert raw.frames[0, :, 0, 0].tolist() == [0, 0.5, 0.5] and raw.frames[1, :, 0, 0].tolist() == [-0.5, -0.5, 1]
    assert not raw.exists[0, 1, 0] and not raw.frames[0, :, 1].any() and raw.exists.sum() == 3


def test_persons_of_a_table_are_in_order_of_appearance(tmp_path: Path) -> None:
    """By frame, however the rows are sorted; numbers of persons may be any."""
    rows = ["1,7,head,1,1,1", "1,7,spine,1,1.2,1", "0,90,head,2,2,2", "0,90,spine,2,2.2,2", "3,7,head,3,3,3"]
    (tmp_path / "a.csv").write_text("\ufeffframe,person,joint,x,y,z\r\n" + "\r\n".join(rows) + "\r\n\r\n", "utf-8")
    values, mask = read_clip_file(tmp_path / "a.csv", KINECT20)
    assert mask is None and values.shape == (3, 4, 20, 2)
    assert values[0, 0, 0, 0] == 2 and values[0, 1, 0, 1] == 1 and np.isnan(values[:, 2]).all()


def test_splits(tmp_path: Path) -> None:
    subjects = "file,label,subject\na,walk,1\nb,run,2\nc,run,3\n"
    clips = {name: motion(seed=n) for n, name in enumerate("abc")}
    folder = write_folder(tmp_path / "own", subjects, clips)

    def splits(**changes: Any) -> list[str]:
        return [clip.split for clip in Folder(str(folder), **changes).clips()]

    assert splits() == ["test"] * 3 and splits(test_subjects=[1, "3"]) == ["test", "train", "test"]
    with pytest.raises(SettingError, match="no subject 4"):
        splits(test_subjects=[4])
    (folder / "labels.csv").write_text("split,file,label\ntest,a,walk\ntrain,b,run\ntest,c,run\n")
    assert splits() == ["test", "train", "test"]
    with pytest.raises(SettingError, match="has no effect"):
        splits(test_subjects=["1"])
    (folder / "labels.csv").write_text("file,label\na,walk\nb,run\nc,run\n")
    with pytest.raises(SettingError, match="no column subject"):
        splits(test_subjects=["1"])
    for wrong in ("12", [1.5], [[1]]):
        with pytest.raises(SettingError, match=r"dataset\.test_subjects"):
            Folder(str(folder), test_subjects=wrong)  # type: ignore[arg-type]


def test_classes_are_named_sorted_or_counted(tmp_path: Path) -> None:
    clips = {name: motion(seed=n) for n, name in enumerate("ab")}

    def labels(rows: str, classes: str | None) -> tuple[tuple[str, ...], list[int]]:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        dataset = Folder(str(write_folder(folder, f"file,label\n{rows}", clips, classes=classes)))
        return dataset.classes, [clip.label for clip in dataset.clips()]

    assert labels("a,walk\nb,run\n", None) == (("run", "walk"), [1, 0])
    assert labels("a,walk\nb,run\n", "walk\njump\nrun\n") == (("walk", "jump", "run"), [0, 2])
    assert labels("a,1\nb,run\n", "walk\njump\nrun\n\n") == (("walk", "jump", "run"), [1, 2])
    assert labels("a,1\nb,0\n", None) == (("class_0", "class_1"), [1, 0])


def test_bodies() -> None:
    def body(text: str, folder: Path = Path()) -> Skeleton:
        return sheet(text + "\nunit: m\nfps: 30\n")

    own = body("names: [hip, knee, foot, toe]\nparents: [null, hip, 1, foot]")
    assert (own.name, own.parents, own.center, own.coords) == ("own", (0, 0, 1, 2), 0, (0, 1, 2))
    assert own.angles == ((0, 1, 2), (1, 2, 3))
    text = "names: [hip, knee, foot]\nparents: [hip, 0, knee]\nangles: [[hip, 1, foot]]\ncenter: knee\nname: leg"
    assert body(text) == Skeleton("leg", ("hip", "knee", "foot"), (0, 0, 1), ((0, 1, 2),), center=1)
    assert body("like: ntu25") == NTU25
    flat = body("like: ntu25\ncoordinates: 2")
    assert (flat.channels, flat.coords, flat.parents) == (2, (0, 1), NTU25.parents)
    deep = body("like: coco17")  # lifted to metres: no score
    assert (deep.channels, deep.coords, deep.length_floor) == (3, (0, 1, 2), NTU25.length_floor)


def sheet(text: str) -> Skeleton:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "skeleton.yaml"
        path.write_text(text)
        return read_about(path).skeleton


def test_bodies_in_an_image() -> None:
    image = "\nunit: image\nfps: 30\n"
    assert sheet("like: body25" + image) == BODY25
    assert sheet("like: body25\nscore: false" + image) == BODY25.without_score()
    own = sheet("names: [a, b, c]\nparents: [a, a, b]\nscore: true" + image)
    assert (own.channels, own.coords, own.length_floor) == (3, (0, 1), 1e-3)


def test_what_describes_the_clips_is_part_of_their_facts(tmp_path: Path) -> None:
    folder = small(tmp_path / "own")
    first = Folder(str(folder))
    digest, was = prepare(first, tmp_path / "cache").digest, first.fingerprint()
    changes = (
        SHEET.replace("30", "25"),
        "names: ["
        + ", ".join(KINECT20.joints)
        + "]\nparents: "
        + json.dumps([*KINECT20.parents])
        + "\nunit: m\nfps: 30\n",
    )
    for text in changes:
        (folder / "skeleton.yaml").write_text(text)
        other = Folder(str(folder))
        assert other.facts() != first.facts() and other.fingerprint() != was
        assert prepare(other, tmp_path / "cache").digest == digest  # frames and labels are the same
    (folder / "skeleton.yaml").write_text(SHEET)
    (folder / "classes.txt").write_text("kick\nwave\njump\n")
    other = Folder(str(folder))
    assert other.facts() != first.facts() and other.fingerprint() != was
    assert json.loads(json.dumps(first.facts())) == first.facts()


def test_a_moved_folder_is_the_same_but_for_its_name(tmp_path: Path) -> None:
    first = small(tmp_path / "here")
    facts, digest = Folder(str(first)).facts(), read_all(first, tmp_path / "cache").digest
    second = first.rename(tmp_path / "ntu60_cs")
    assert Folder(str(second)).name == "own_ntu60_cs"
    assert Folder(str(second)).facts() == facts and read_all(second, tmp_path / "cache").digest == digest


Spoil = Callable[[Path], Any]


def labelled(text: str) -> Spoil:
    return lambda folder: (folder / "labels.csv").write_text(text)


def described(text: str) -> Spoil:
    return lambda folder: (folder / "skeleton.yaml").write_text(text)


def classed(text: str) -> Spoil:
    return lambda folder: (folder / "classes.txt").write_text(text)


def bytes_in(name: str, content: bytes) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / "a.npy").unlink()
        (folder / name).write_bytes(content)

    return spoil


def table(*rows: str) -> Spoil:
    return bytes_in("a.csv", "\n".join(rows).encode())


def saved(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def huge(claim: str) -> bytes:
    """A .npy file of a hundred numbers whose header claims a shape."""
    return npy(np.zeros(100)).replace(b"(100,), ", claim.encode()).ljust(1000)[:928]


def bomb() -> bytes:
    """A .npz of a few kilobytes that unpacks to more than may be read."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x.npy", "w", force_zip64=True) as x,
    ):
        np.lib.format.write_array_header_1_0(x, {"descr": "<f8", "fortran_order": False, "shape": (2**26 + 2**17,)})
        for _ in range(513):
            x.write(bytes(2**20))
    return file.getvalue()


HEAD = "frame,person,joint,x,y,z"
GOOD_NPY = npy(motion())
BROKEN: dict[str, tuple[Spoil, str]] = {
    "no labels": (lambda folder: (folder / "labels.csv").unlink(), "labels.csv does not exist"),
    "no body": (lambda folder: (folder / "skeleton.yaml").unlink(), "skeleton.yaml does not exist"),
    "empty labels": (labelled(""), "labels.csv:1: the header has no column 'file'"),
    "only a header": (labelled("file,label\n"), "lists no clip"),
    "another header": (labelled("file;label\na;walk\n"), "labels.csv:1: unknown column 'file;label'"),
    "a typo in the header": (labelled("file,lable\na,walk\n"), "'lable': did you mean 'label'"),
    "a column twice": (labelled("file,label,label\na,walk,walk\n"), "a column twice"),
    "cells": (labelled("file,label\na,walk\nb\n"), "labels.csv:3: 1 cells"),
    "an empty cell": (labelled("file,label\na,walk\nb,\n"), "labels.csv:3: label is ''"),
    "an open quote": (labelled('file,label\na,walk\nb,"run\n'), "labels.csv:3: not CSV"),
    "not text": (lambda folder: (folder / "labels.csv").write_bytes(b"\xff\xfe\x00"), "not a readable text file"),
    "not there": (labelled("file,label\na,walk\nb,run\nc,run\n"), "labels.csv:4: c does not exist"),
    "listed twice": (labelled("file,label\na,walk\nb,run\na.npy,run\n"), "labels.csv:4: a.npy is listed before"),
    "not listed": (labelled("file,label\na,walk\n"), "b.npy is not listed"),
    "two of a name": (lambda folder: np.savez(folder / "a.npz", x=1), "labels.csv:2: a is a.npz and a.npy"),
    "outside": (labelled("file,label\n../a.npy,walk\n"), "labels.csv:2: .* not a path below"),
    "itself": (labelled("file,label\nlabels.csv,walk\n"), "list of labels itself"),
    "one class": (labelled("file,label\na,walk\nb,walk\n"), "two classes"),
    "a gap": (labelled("file,label\na,1\nb,2\n"), "no clip has label 0"),
    "names and numbers": (labelled("file,label\na,1\nb,run\n"), "labels.csv:3: label 'run' is a name"),
    "beyond the classes": (
        lambda f: (labelled("file,label\na,0\nb,2\n")(f), classed("x\ny\n")(f)),
        "labels.csv:3: label 2 is not 0 to 1",
    ),
    "another class": (lambda f: classed("walk\nrum\n")(f), "labels.csv:3: label 'run' is not in classes.txt: did you"),
    "a class twice": (classed("walk\nrun\nwalk\n"), "classes.txt:3: 'walk' is also in line 1"),
    "a number as class": (classed("walk\n1\n"), "classes.txt:2"),
    "an empty line": (classed("walk\n\nrun\n"), "classes.txt:2"),
    "no such split": (labelled("file,label,split\na,walk,train\nb,run,tset\n"), "labels.csv:3: split 'tset'.*'test'"),
    "no unit": (described("like: kinect20\nfps: 30\n"), "unit is missing"),
    "no fps": (described("like: kinect20\nunit: m\n"), "fps is missing"),
    "unit": (described(SHEET.replace("m\n", "inch\n")), "skeleton.yaml:2: unit 'inch'"),
    "fps": (described(SHEET.replace("30", "fast")), "skeleton.yaml:3: fps 'fast'"),
    "a key": (described(SHEET + "ftp: 3\n"), "skeleton.yaml:4: unknown key 'ftp': did you mean 'fps'"),
    "a key twice": (described(SHEET + "fps: 3\n"), "skeleton.yaml:4: fps is also in line 3"),
    "like": (described(SHEET.replace("20", "21")), "skeleton.yaml:1: like 'kinect21'.*kinect20"),
    "like and names": (described(SHEET + "names: [a]\n"), "either like"),
    "neither": (described("unit: m\nfps: 30\n"), "either like"),
    "like and angles": (described(SHEET + "angles: []\n"), "skeleton.yaml:4: angles has no effect"),
    "size": (described(SHEET + "image_size: [1, 2]\n"), "image_size has no effect"),
    "no size": (described("like: coco17\nunit: px\nfps: 30\n"), "skeleton.yaml:2: .*image_size"),
    "size of one": (described("like: coco17\nunit: px\nimage_size: 3\nfps: 30\n"), "skeleton.yaml:3: .*image_size"),
    "coordinates": (described(SHEET + "coordinates: 4\n"), "skeleton.yaml:4: coordinates 4"),
    "depth in an image": (described("like: coco17\nunit: image\nfps: 30\ncoordinates: 3\n"), "must be 2"),
    "score": (described(SHEET + "score: maybe\n"), "skeleton.yaml:4: score 'maybe'"),
    "not YAML": (described("like: [\n"), "skeleton.yaml:2: not YAML"),
    "a list": (described("- like\n"), "must map keys"),
    "an alias": (described("like: &a [x]\nunit: *a\n"), "alias"),
    "depth": (described("like: " + "[" * 5000 + "\n"), "not YAML"),
    "a tag": (described("like: !!python/object/apply:os.getcwd []\n"), "not YAML"),
    "unknown parent": (
        described("names: [a, b, c]\nparents: [a, a, bb]\nunit: m\nfps: 9\n"),
        "yaml:2: parents.*'bb'.*'b'",
    ),
    "no parents": (described("names: [a, b, c]\nunit: m\nfps: 9\n"), "yaml:1: parents must be a list of 3"),
    "a circle": (described("names: [a, b, c]\nparents: [a, c, b]\nunit: m\nfps: 9\n"), "yaml:2: own: .*circle"),
    "number names": (described("names: ['1', b, c]\nparents: [0, 0, 1]\nunit: m\nfps: 9\n"), "yaml:1: names"),
    "a pair": (
        described("names: [a, b, c]\nparents: [a, a, b]\nangles: [[a, b]]\nunit: m\nfps: 9\n"),
        "yaml:3: angles",
    ),
    "another body": (described(SHEET.replace("kinect20", "ntu25")), r"a.npy: the shape .* does not fit ntu25"),
    "millimetres": (described(SHEET.replace("unit: m", "unit: mm")), "a.npy: .*is the unit m[?]"),
    "empty file": (bytes_in("a.npy", b""), "a.npy: not a readable .npy"),
    "cut": (bytes_in("a.npy", GOOD_NPY[:-8]), "a.npy: not a readable"),
    "cut header": (bytes_in("a.npy", GOOD_NPY[:50]), "a.npy: not a readable"),
    "huge": (bytes_in("a.npy", huge("(99999999999,), ")), "a.npy: not a readable .*header says"),
    "negative": (bytes_in("a.npy", huge("(-9,), ")), "a.npy: not a readable"),
    "pickle": (bytes_in("a.npy", npy(np.array([{}, []], object))), "a.npy: .*Python objects"),
    "structured": (bytes_in("a.npy", npy(np.zeros(3, "i4,f4"))), "a.npy: the values are of type"),
    "complex": (bytes_in("a.npy", npy(motion() + 1j)), "a.npy: the values are of type complex128"),
    "an archive as npy": (bytes_in("a.npy", saved(x=motion())), "a.npy: not a readable"),
    "an array as npz": (bytes_in("a.npz", GOOD_NPY), "a.npz: not a readable"),
    "cut archive": (bytes_in("a.npz", saved(x=motion())[:-50]), "a.npz: not a readable"),
    "damaged archive": (
        bytes_in("a.npz", saved(x=motion()).replace(motion().tobytes()[:8], b"12345678")),
        "a.npz: not",
    ),
    "empty archive": (bytes_in("a.npz", saved()), "a.npz: contains no array"),
    "two arrays": (bytes_in("a.npz", saved(x=motion(), y=motion())), "a.npz: contains x, y"),
    "only a mask": (bytes_in("a.npz", saved(mask=motion())), "a.npz: contains no array"),
    "another mask": (bytes_in("a.npz", saved(x=motion(), mask=np.ones((3, 20)))), "a.npz: the mask's shape"),
    "pickle in an archive": (bytes_in("a.npz", saved(x=np.array([{}], object))), "a.npz: .*Python objects"),
    "a bomb": (lambda folder: bytes_in("a.npz", bomb())(folder), "a.npz: not a readable .*header says"),
    "empty table": (table(""), "a.csv:1: the header has no column 'frame'"),
    "no row": (table(HEAD), "a.csv: contains no row"),
    "no z": (table("frame,person,joint,x,y", "0,0,head,1,1"), "a.csv:1: .*no column 'z'"),
    "a score": (table(HEAD + ",score", "0,0,head,1,1,1,1"), "a.csv:2: .*score: true"),
    "a half frame": (table(HEAD, "0.5,0,head,1,1,1"), "a.csv:2: frame '0.5' must be a whole number"),
    "a named person": (table(HEAD, "0,anna,head,1,1,1"), "a.csv:2: person 'anna'"),
    "a typo in a joint": (table(HEAD, "0,0,haed,1,1,1"), "a.csv:2: joint 'haed' is unknown: did you mean 'head'"),
    "joint 20": (table(HEAD, "0,0,20,1,1,1"), "a.csv:2: joint '20' is unknown: numbers are 0 to 19"),
    "no number": (table(HEAD, "0,0,head,1,1_0,1"), "a.csv:2: y '1_0' must be a number"),
    "a row twice": (table(HEAD, "0,0,head,1,1,1", "", "0,0,0,2,2,2"), "a.csv:4: joint 0 .* also in line 2"),
    "a far frame": (table(HEAD, "0,0,head,1,1,1", "999999999,0,head,1,1,1"), "a.csv: frames 0 to 999999999"),
    "one frame": (table(HEAD, "0,0,head,1,1,1", "0,0,spine,1,1.3,1"), "a.csv: 1 frames"),
    "infinite": (table(HEAD, "0,0,head,1,inf,1", "1,0,head,1,1,1"), "a.csv: frame 0 .*contains inf"),
    "two persons": (bytes_in("a.npy", npy(motion(persons=2))), "a.npy: 2 persons.*set dataset.num_persons=2"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_every_mistake_is_one_line_with_its_place(case: str, tmp_path: Path) -> None:
    spoil, words = BROKEN[case]
    folder = write_folder(tmp_path / "own", TWO, {"a": motion(seed=1), "b": motion(seed=2)})
    assert len(read_all(folder, tmp_path / "fine").clips) == 2
    spoil(folder)
    with pytest.raises(DataError, match=words) as caught:
        read_all(folder, tmp_path / "cache")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert str(folder) in str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.root=.*set dataset\.root"):
        read_all(tmp_path / "none", tmp_path)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.data())
def test_damage_is_a_users_error_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    """For any change of a few bytes: no other exception, no message of several lines."""
    folder = tmp_path / "own"
    if not folder.exists():
        write_folder(folder, TWO, {"a": motion(3, 1)}, classes="walk\nrun\n")
        write_csv(folder / "b.csv", motion(3, 2), KINECT20.joints)
        np.savez(folder / "c.npz", x=motion(3), mask=np.ones((3, 20, 1), bool))
        (folder / "labels.csv").write_text(TWO + "c,run\n")
    name = data.draw(st.sampled_from(["labels.csv", "skeleton.yaml", "classes.txt", "a.npy", "b.csv", "c.npz"]))
    before = (folder / name).read_bytes()
    start = data.draw(st.integers(0, len(before) - 1))
    more = data.draw(st.binary(max_size=6))
    cut = data.draw(st.integers(0, 6))
    (folder / name).write_bytes(before[:start] + more + before[start + cut :])
    dataset = Folder(str(folder), num_persons=2)
    said = ""
    try:
        for clip in dataset.clips():
            dataset.read(clip)
        assert dataset.facts()
    except UserError as error:
        said = str(error)
    finally:
        (folder / name).write_bytes(before)
    assert "\n" not in said and len(said) < 1000


@pytest.mark.more
def test_the_whole_way_on_the_command_line(tmp_path: Path) -> None:
    """Train, attack, keep the clips and draw them, on a skeleton that only this folder has."""
    names = ", ".join(KINECT20.joints)
    sheet = f"names: [{names}]\nparents: {json.dumps([*KINECT20.parents])}\nunit: m\nfps: 25\n"
    folder = small(tmp_path / "My Clips")
    (folder / "skeleton.yaml").write_text(sheet)
    words = ["dataset=folder", f"dataset.root={folder}", "dataset.num_frames=16", "model=hcn"]
    words += ["model.architecture.fc7=16", "runtime.device=cpu"]
    done = forked(tmp_path, *words, "task=train", "recipe.epochs=1", "recipe.batch_size=2")
    assert done.returncode == 0, done.stderr
    attacked = ["attack=pgd", "attack.steps=2", "runtime.limit=2", "batch_size=2", "runtime.save_clips=true"]
    done = forked(tmp_path, *words, *attacked)
    assert done.returncode == 0, done.stderr
    (about,) = tmp_path.rglob("run.json")
    facts = json.loads(about.read_text())
    assert facts["dataset"] == "my_clips" and facts["skeleton"] == "own" and facts["done"] == facts["total"] == 2
    assert Skeleton.from_dict(facts["body"]).parents == KINECT20.parents and "outputs/runs/my_clips" in str(about)
    assert "training clips may" not in done.stderr
    drawn = forked(tmp_path, "outputs/runs", "--clip", "test/kick_s2", module="skeleton_adv.figures")
    assert drawn.returncode == 0 and len([*tmp_path.rglob("kick_s2.gif")]) == 1, drawn.stderr
    (folder / "labels.csv").write_text((folder / "labels.csv").read_text().replace("train\n", "test\n"))
    refused = forked(tmp_path, *words, "task=train", "recipe.epochs=1", "model.seed=1")
    assert refused.returncode == 2 and "add a column split" in refused.stderr
