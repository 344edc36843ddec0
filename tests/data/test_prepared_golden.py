"""Files in the prepared formats as the public pipelines make them of fabricated raw clips."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepared_files import LENGTH

from skeleton_adv.core.skeleton import NTU25
from skeleton_adv.data.hrnet import HRNet, NTUHRNet, by_person
from skeleton_adv.data.ntu import NTU, read_skeleton_file
from skeleton_adv.data.ntu_agcn import NTUAGCN
from skeleton_adv.data.ntu_npz import NTUNpz
from skeleton_adv.data.ntu_pyskl import NTUPyskl
from skeleton_adv.data.ntu_stgcn import NTUSTGCN
from skeleton_adv.data.store import prepare
from skeleton_adv.models.space import Normalised


@pytest.fixture
def golden(shared: Path) -> Path:
    return shared / "golden"


def frames_in(golden: Path, name: str) -> int:
    """The frames of a raw clip, without empty ones at its end."""
    (path,) = golden.glob(f"ntu_raw*/{name}.skeleton")
    return int(np.flatnonzero(read_skeleton_file(path).exists.any(axis=(1, 2)))[-1]) + 1


def test_pyskls_three_dimensional_annotations(golden: Path) -> None:
    path = golden / "pyskl_ntu60_3danno.pkl"
    content = pickle.loads(path.read_bytes())
    for protocol, lists in (("cs", "xsub"), ("cv", "xview")):
        dataset = NTUPyskl(str(path), protocol)  # type: ignore[arg-type]
        splits = {clip.name: clip.split for clip in dataset.clips()}
        assert [n for n, split in splits.items() if split == "train"] == content["split"][f"{lists}_train"]
        assert [n for n, split in splits.items() if split == "test"] == content["split"][f"{lists}_val"]
    for clip, annotation in zip(dataset.clips(), content["annotations"], strict=True):
        raw, keypoint = dataset.read(clip), annotation["keypoint"].astype(np.float32)
        assert (clip.name, clip.label) == (annotation["frame_dir"], annotation["label"])
        persons = len(keypoint)
        np.testing.assert_array_equal(raw.frames[..., :persons], keypoint.transpose(1, 3, 2, 0))
        assert not raw.exists[..., persons:].any()
        np.testing.assert_array_equal(raw.exists[:, 0, :persons], keypoint.any(axis=(2, 3)).T)


def test_pyskls_first_persons_are_those_of_the_raw_files(golden: Path) -> None:
    """The second person of one of these clips is a ghost, which pyskl leaves out."""
    dataset, raw = NTUPyskl(str(golden / "pyskl_ntu60_3danno.pkl")), NTU(str(golden / "ntu_raw"))
    for clip in raw.clips():
        found, recorded = dataset.read(clip), raw.read(clip)
        recorded_frames = recorded.frames[recorded.exists.any(axis=(1, 2))]
        np.testing.assert_allclose(found.frames[..., 0], recorded_frames[..., 0], rtol=2**-11, atol=1e-6)


def test_hrnets_poses(golden: Path) -> None:
    path = golden / "pyskl_hrnet_2d.pkl"
    dataset, other = NTUHRNet(str(path)), HRNet(str(path), "xsub_train", "xsub_val", 60)
    assert dataset.clips() == other.clips() and other.name == "pyskl_hrnet_2d_xsub_val"
    for clip, annotation in zip(dataset.clips(), pickle.loads(path.read_bytes())["annotations"], strict=True):
        raw, (height, width) = dataset.read(clip), annotation["img_shape"]
        pixels, score = (annotation[key].astype(np.float64) for key in ("keypoint", "keypoint_score"))
        persons = slice(len(pixels))
        there = raw.exists[..., persons].transpose(2, 0, 1)
        np.testing.assert_array_equal(there, score > 0)
        assert not raw.exists[..., len(pixels) :].any()
        x, y, s = raw.frames[..., persons].transpose(1, 3, 0, 2)
        np.testing.assert_allclose((x + 0.5)[there] * width, pixels[..., 0][there], atol=1e-3)
        np.testing.assert_allclose((0.5 - y)[there] * height, pixels[..., 1][there], atol=1e-3)
        np.testing.assert_array_equal(s[there], score[there].astype(np.float32))


def test_ctrgcns_arrays(golden: Path, tmp_path: Path) -> None:
    made = np.load(golden / "denoised_pipeline.npz")
    classes = [int(name[-3:]) - 1 for name in made["names"]]
    y = np.eye(60)[classes]
    np.savez(tmp_path / "a.npz", x_train=made["x"][:3], y_train=y[:3], x_test=made["x"][3:], y_test=y[3:])
    dataset = NTUNpz(str(tmp_path / "a.npz"))
    assert [clip.label for clip in dataset.clips()] == classes
    for clip, name in zip(dataset.clips(), made["names"], strict=True):
        raw = dataset.read(clip)
        before = made[f"{name}/denoised"].reshape(-1, made[f"{name}/denoised"].shape[1] // 75, 25, 3)
        present = before.any(axis=(2, 3))
        moved = before - before[present[:, 0].argmax(), 0, 1]
        assert len(raw.frames) == made[f"{name}/valid"]
        np.testing.assert_array_equal(raw.exists[:, 0, : before.shape[1]], present)
        expected = np.where(present[..., None, None], moved, 0).transpose(0, 3, 2, 1)
        np.testing.assert_allclose(raw.frames[..., : before.shape[1]], expected, atol=1e-6)
        assert not raw.exists[..., before.shape[1] :].any()


def write_half(folder: Path, array: str, values: np.ndarray, names: Any) -> None:
    np.save(folder / f"val_{array}", values)
    labels = [f"{name}.skeleton" for name in names], [int(name[-3:]) - 1 for name in names]
    (folder / "val_label.pkl").write_bytes(pickle.dumps(labels))


@pytest.mark.parametrize("file", ["agcn_pipeline_more.npz", "preprocessing.npz"])
def test_2s_agcns_arrays(file: str, golden: Path, tmp_path: Path) -> None:
    made = np.load(golden / file)
    keep = [i for i, name in enumerate(made["names"]) if name[8:12] in ("P003", "P001")]
    names, joints = made["names"][keep], made["agcn_joint"][keep]
    names = [f"{name[:9]}003{name[12:]}" for name in names]  # of a test subject
    write_half(tmp_path, "data_joint.npy", joints, names)
    dataset = NTUAGCN(str(tmp_path), space="normalised")
    for clip, official, whole in zip(dataset.clips(), made["names"][keep], joints, strict=True):
        raw = dataset.read(clip)
        frames = whole.transpose(1, 0, 2, 3)
        there = raw.exists.any(axis=1)
        assert there[-1].any() and len(raw.frames) <= frames_in(golden, official) < LENGTH
        for person in range(2):
            kept = there[:, person]
            np.testing.assert_array_equal(raw.frames[kept, :, :, person], frames[: len(kept)][kept][..., person])
        first = frames[: int(np.flatnonzero(there[:, 0])[-1]) + 1, ..., 0]
        np.testing.assert_allclose(first[np.arange(LENGTH) % len(first)], frames[..., 0], atol=1e-5)


def test_2s_agcns_single_persons_are_normalised_raw_files(golden: Path, tmp_path: Path) -> None:
    made = np.load(golden / "preprocessing.npz")
    names = [f"{name[:9]}003{name[12:]}" for name in made["names"]]
    write_half(tmp_path, "data_joint.npy", made["agcn_joint"], names)
    dataset, recorded = NTUAGCN(str(tmp_path), space="normalised"), NTU(str(golden / "ntu_raw"))
    normalised = Normalised(prepare(recorded, tmp_path / "cache"), NTU25)
    for number, clip in enumerate(dataset.clips()):
        found, raw = dataset.read(clip), normalised.raw(number)
        length = len(found.frames)
        np.testing.assert_array_equal(found.exists, raw.exists[:length])
        assert not raw.exists[length:].any()
        np.testing.assert_allclose(found.frames, raw.frames[:length], atol=1e-5)


def test_stgcns_arrays(golden: Path, tmp_path: Path) -> None:
    made = np.load(golden / "agcn_pipeline_more.npz")
    names = [f"{name[:9]}003{name[12:]}" for name in made["names"]]
    write_half(tmp_path, "data.npy", made["stgcn_like_selected"], names)
    dataset = NTUSTGCN(str(tmp_path))
    for clip, official, whole in zip(dataset.clips(), made["names"], made["stgcn_like_selected"], strict=True):
        raw = dataset.read(clip)
        assert len(raw.frames) == frames_in(golden, official)
        np.testing.assert_array_equal(raw.frames, whole.transpose(1, 0, 2, 3)[: len(raw.frames)])
        np.testing.assert_array_equal(raw.exists, (raw.frames != 0).any(axis=(1, 2))[:, None].repeat(25, axis=1))


def test_detections_become_persons(golden: Path) -> None:
    made = np.load(golden / "k400_decompress.npz")
    for case, least, most in (("a", 0, 10), ("a", 0.3, 3), ("c", 0.5, 2)):
        kept = made["box_score"] >= least
        frames = np.unique(made["frame_inds"][kept], return_inverse=True)[1]
        persons = by_person(made["keypoint"][kept], frames, most)
        np.testing.assert_array_equal(persons[..., :2], made[f"{case}_keypoint"])
        np.testing.assert_array_equal(persons[..., 2], made[f"{case}_keypoint_score"])


def test_clips_whose_keypoints_are_in_another_file(golden: Path, tmp_path: Path) -> None:
    made = np.load(golden / "k400_decompress.npz")
    facts = {"img_shape": (240, 320), "total_frames": int(made["total_frames"]), "raw_file": "data/k400/part_0.pkl"}
    facts |= {key: made[key] for key in ("frame_inds", "box_score")}
    listed = [{"frame_dir": name, "label": 1, **facts} for name in ("one", "two")]
    content = {"split": {"train": ["one"], "val": ["two"]}, "annotations": listed}
    (tmp_path / "k400_hrnet.pkl").write_bytes(pickle.dumps(content))
    (tmp_path / "kpfiles").mkdir()
    parts = {name: {"keypoint": made["keypoint"]} for name in ("one", "two")}
    (tmp_path / "kpfiles/part_0.pkl").write_bytes(pickle.dumps(parts))
    dataset = HRNet(str(tmp_path / "k400_hrnet.pkl"), num_persons=3)
    store = prepare(dataset, tmp_path / "cache")
    assert dataset.name == "k400_hrnet_val" and len(store.clips) == 2
    x, y, _ = store.raw(1).frames.transpose(1, 3, 0, 2)
    there = store.raw(1).exists.transpose(2, 0, 1)
    np.testing.assert_array_equal(there, made["a_keypoint_score"] > 0)
    np.testing.assert_allclose((x[there] + 0.5) * 320, made["a_keypoint"][..., 0][there], atol=1e-3)
    np.testing.assert_allclose((0.5 - y[there]) * 240, made["a_keypoint"][..., 1][there], atol=1e-3)
