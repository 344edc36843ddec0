"""Exported clips come back as the reading code of each format gives them to a network."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import forked as command
from own_folders import small
from samples import certified, run, six_rows

from skeleton_adv.core.batch import WHOLE
from skeleton_adv.core.errors import RunError
from skeleton_adv.core.skeleton import COCO17, KINECT20, NTU25, Skeleton
from skeleton_adv.report import export as module
from skeleton_adv.report.export import export, keep
from skeleton_adv.runs.clips import SavedClips
from skeleton_adv.runs.load import Run

FPS = 30.0


def saved(
    folder: Path,
    skeleton: Skeleton = NTU25,
    frames: int = WHOLE,
    lengths: tuple[int, ...] = (40, 60, 50),
    dt: float | None = 1 / FPS,
    persons: int = 2,
    crop: float = 1,
    **facts: Any,
) -> tuple[Run, np.ndarray, np.ndarray]:
    """Three clips of true lengths in ``frames``; a joint of the first is lost, the second person is in clip 1 only."""
    rng = np.random.default_rng(3)
    shape = (3, skeleton.channels, frames, skeleton.num_joints, persons)
    mask = np.zeros((3, 1, *shape[2:]), bool)
    for clip, length in enumerate(lengths):
        mask[clip, 0, :length, :, 0] = True
        mask[clip, 0, 5:length, :, 1:] = clip == 1
    mask[0, 0, 7, 3, 0] = False
    x = np.where(mask, rng.uniform(0.1, 0.4, shape), 0).astype(np.float32)
    x_adv = np.where(mask, x + rng.normal(0, 0.01, shape), 0).astype(np.float32)
    if skeleton.scores:
        x_adv[:, 2] = x[:, 2]
    held = {"x": x, "x_adv": x_adv, "mask": mask}
    held |= {} if dt is None else {"dt": np.full(3, dt, np.float32)}
    SavedClips(folder).save([0, 1, 2], held, {})
    rows = six_rows(label=[1, 2, 0, 0, 0, 0])[:3]
    about: dict[str, Any] = {"skeleton": skeleton.name, "classes": ["wave", "sit", "stand"], "num_classes": 3}
    about |= {
        "done": 3,
        "num_frames": frames,
        "fps": FPS,
        "dataset": "own",
        "settings": {"dataset": {"test_crop": crop}},
    }
    return run(rows, folder, **about | facts), x, x_adv


def test_frames_that_make_a_clip_whole_are_those_of_batches() -> None:
    assert module.WHOLE == WHOLE


def test_plain_arrays(tmp_path: Path) -> None:
    attacked, x, x_adv = saved(tmp_path / "run")
    path, said = export(attacked, "npz")
    assert path == tmp_path / "run" / "adversarial_npz.npz" and "3 clips; original frames" in said
    with np.load(path, allow_pickle=False) as held:
        content = {name: held[name] for name in held.files}
    assert content["x"].shape == (3, 3, 60, 25, 2) and content["x"].dtype == np.float32
    np.testing.assert_array_equal(content["x"], x[:, :, :60])
    np.testing.assert_array_equal(content["x_adv"], x_adv[:, :, :60])
    assert (
        content["total_frames"].tolist() == [40, 60, 50]
        and content["mask"].sum() == 39 * 25 + 24 + 60 * 25 + 55 * 25 + 50 * 25
    )
    assert not content["x_adv"].transpose(0, 2, 3, 4, 1)[~content["mask"]].any()
    assert content["name"].tolist() == ["clip_0", "clip_1", "clip_2"] and content["label"].tolist() == [1, 2, 0]
    assert content["adv_pred"].tolist() == [2, 2, 2] and content["clean_pred"].tolist() == [1, 1, 1]
    assert tuple(content["joints"]) == NTU25.joints and tuple(content["parents"]) == NTU25.parents
    assert content["fps"].tolist() == pytest.approx([30] * 3)
    words = [str(content[name]) for name in ("unit", "space", "frames")]
    assert words == ["m", "camera", "original"] and content["classes"].tolist() == ["wave", "sit", "stand"]


@pytest.mark.parametrize(
    ("changes", "original"),
    [
        ({}, True),
        ({"frames": 64, "lengths": (64, 64, 64)}, True),
        ({"frames": 64, "lengths": (64, 64, 64), "crop": 0.95}, False),
        ({"frames": 64, "dt": 2 / FPS}, False),
        ({"frames": 64, "dt": None}, False),
        ({"frames": 64, "fps": None}, False),
        ({"dt": None, "fps": None}, True),
    ],
)
def test_what_was_resampled_is_said(changes: dict[str, Any], original: bool, tmp_path: Path) -> None:
    attacked, x, _ = saved(tmp_path / "run", **changes)
    path, said = export(attacked, "npz", tmp_path / "new" / "out.npz")
    assert ("original frames" in said, "resampled to 64 frames" in said) == (original, not original)
    with np.load(path) as held:
        assert str(held["frames"]) == ("original" if original else "resampled")
        lengths = changes.get("lengths", (40, 60, 50)) if original else (64, 64, 64)
        assert held["total_frames"].tolist() == [*lengths]
        np.testing.assert_array_equal(held["x"], x[:, :, : max(lengths)])
        assert np.isnan(held["fps"]).all() if changes.get("dt", 1) is None else (held["fps"] > 0).all()


def feeder(path: Path, split: str, shape: tuple[int, int, int] = (2, 25, 3)) -> tuple[np.ndarray, np.ndarray]:
    """CTR-GCN's feeders/feeder_ntu.py: ``load_data``, and the frames that ``valid_crop_resize`` is given."""
    npz_data = np.load(path)
    data, label = npz_data[f"x_{split}"], np.where(npz_data[f"y_{split}"] > 0)[1]
    n, t, _ = data.shape
    return data.reshape((n, t, *shape)).transpose(0, 4, 1, 3, 2), label


def test_ctrgcns_feeder_reads_the_clips(tmp_path: Path) -> None:
    attacked, x, x_adv = saved(tmp_path / "run", persons=1)
    path, said = export(attacked, "ctrgcn")
    data, label = feeder(path, "test")
    assert data.shape == (3, 3, 60, 25, 2) and data.dtype == np.float32 and label.tolist() == [1, 2, 0]
    assert "middle_of_spine is at 0" in said and "reshape" not in said
    valid = [int(np.sum(clip.sum(0).sum(-1).sum(-1) != 0)) for clip in data]
    assert valid == [40, 60, 50]
    for clip, length in enumerate(valid):
        moved = x_adv[clip, :, :length].astype(np.float64) - x_adv[clip, :, 0, 1, 0, None][:, None, None]
        there = x[clip, :, :length].any(axis=0)
        np.testing.assert_allclose(data[clip, :, :length, :, :1], np.where(there, moved, 0), atol=1e-7)
        assert not data[clip, ..., 1].any() and not data[clip, :, length:].any()
        assert not data[clip, :, 0, 1, 0].any()
    none, labels = feeder(path, "train")
    assert none.shape == (0, 3, 60, 25, 2) and labels.shape == (0,)
    clean, _ = feeder(export(attacked, "ctrgcn", clean=True)[0], "test")
    assert export(attacked, "ctrgcn", clean=True)[0].name == "clean_ctrgcn.npz"
    np.testing.assert_allclose(clean[1, :, 9, 4, 0], x[1, :, 9, 4, 0] - x[1, :, 0, 1, 0], atol=1e-7)


def test_other_bodies_say_how_the_feeder_reads_them(tmp_path: Path) -> None:
    attacked, _, x_adv = saved(tmp_path / "run", COCO17, unit="image")
    path, said = export(attacked, "ctrgcn")
    assert "reshape((N, T, 2, 17, 3))" in said and "is at 0" not in said
    np.testing.assert_array_equal(feeder(path, "test", (2, 17, 3))[0], x_adv[:, :, :60])


def pyskl(path: Path, split: str) -> list[dict[str, Any]]:
    """pyskl's datasets/pose_dataset.py: ``load_pkl_annotations``."""
    data = pickle.loads(path.read_bytes())
    kept = set(data["split"][split])
    identifier = "filename" if "filename" in data["annotations"][0] else "frame_dir"
    return [item for item in data["annotations"] if item[identifier] in kept]


def test_pyskl_reads_the_clips(tmp_path: Path) -> None:
    attacked, _, x_adv = saved(tmp_path / "run")
    path, said = export(attacked, "pyskl")
    assert path.suffix == ".pkl" and said == "3 clips; original frames; 300 frames at most"
    found = pyskl(path, "test")
    assert [(one["frame_dir"], one["label"], one["total_frames"]) for one in found] == [
        ("clip_0", 1, 40),
        ("clip_1", 2, 60),
        ("clip_2", 0, 50),
    ]
    assert [one["keypoint"].shape for one in found] == [(1, 40, 25, 3), (2, 60, 25, 3), (1, 50, 25, 3)]
    for clip, one in enumerate(found):
        again = one["keypoint"].transpose(3, 1, 2, 0)  # to (C, T, V, M)
        np.testing.assert_array_equal(again, x_adv[clip, :, : one["total_frames"], :, : again.shape[3]])
        assert again.dtype == np.float32 and "keypoint_score" not in one


@pytest.mark.parametrize("size", [[640, 480], None])
@pytest.mark.parametrize("skeleton", [COCO17, COCO17.without_score()], ids=["score", "no score"])
def test_pyskl_normalises_an_image_as_it_was_seen(size: Any, skeleton: Skeleton, tmp_path: Path) -> None:
    """Its PreNormalize2D brings x and y to [-1, 1]: twice the fractions from the middle, y down."""
    body = None if skeleton == COCO17 else skeleton.as_dict()
    attacked, x, x_adv = saved(tmp_path / "run", skeleton, unit="image", image_size=size, body=body)
    path, said = export(attacked, "pyskl")
    assert ("in pixels" in said, "fractions" in said) == (bool(size), not size)
    for clip, one in enumerate(pyskl(path, "test")):
        height, width = one["img_shape"]
        assert (width, height) == tuple(size or (1, 1)) and one["original_shape"] == one["img_shape"]
        keypoint, score = one["keypoint"].astype(np.float64), one["keypoint_score"]
        there = x[clip, 0, : one["total_frames"], :, : len(keypoint)].transpose(2, 0, 1) != 0
        assert score.dtype == np.float32 and ((score > 0) == there).all() and not keypoint[~there].any()
        keypoint[..., 0] = (keypoint[..., 0] - width / 2) / (width / 2)
        keypoint[..., 1] = (keypoint[..., 1] - height / 2) / (height / 2)
        seen = x_adv[clip, :2, : one["total_frames"], :, : len(keypoint)].transpose(3, 1, 2, 0) * (2, -2)
        np.testing.assert_allclose(keypoint[there], seen[there], atol=1e-6)


def test_diverged_clips_are_left_out_and_counted(tmp_path: Path) -> None:
    attacked, x, x_adv = saved(tmp_path / "run")
    x_adv[1, 0, 3, 4, 0] = np.nan
    mask = (x != 0).any(axis=1, keepdims=True)
    SavedClips(tmp_path / "run").save([0, 1, 2], {"x": x, "x_adv": x_adv, "mask": mask}, {}, overwrite=True)
    path, said = export(attacked, "pyskl")
    assert "1 clips are left out" in said and [one["frame_dir"] for one in pyskl(path, "test")] == ["clip_0", "clip_2"]


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    attacked, _, _ = saved(tmp_path / "run")
    with pytest.raises(RunError, match=r"rename the file"):
        export(attacked, "pyskl", tmp_path / "a.npz")
    with pytest.raises(RunError, match="certificates"):
        keep(certified())
    with pytest.raises(RunError, match=r"runtime\.save_clips=true"):
        keep(replace(attacked, folder=tmp_path / "other"))
    with pytest.raises(RunError, match="unknown, and its run"):
        keep(replace(attacked, skeleton="octopus"))
    own = replace(KINECT20, name="octopus")
    broken = own.as_dict() | {"parents": [0]}
    with pytest.raises(RunError, match="body"):
        saved(tmp_path / "broken", own, body=broken)


@pytest.mark.more
def test_a_users_clips_leave_as_they_came(tmp_path: Path) -> None:
    """From a folder through an attack to pyskl, on the command line: all but the perturbation."""
    folder = small(tmp_path / "own")
    words = [
        "dataset=folder",
        f"dataset.root={folder}",
        "model=hcn",
        "model.architecture.fc7=16",
        "dataset.num_frames=304",
    ]
    done = command(tmp_path, *words, "task=train", "recipe.epochs=1", "recipe.batch_size=2", "recipe.crop=1")
    assert done.returncode == 0, done.stderr
    attacked = ["attack=fgsm", "batch_size=2", "runtime.save_clips=true"]
    done = command(tmp_path, *words, *attacked)
    assert done.returncode == 0, done.stderr
    (about,) = tmp_path.rglob("run.json")
    done = command(tmp_path, str(about.parent), "--format", "pyskl", "--clean", module="skeleton_adv.export")
    assert done.returncode == 0 and "2 clips; original frames" in done.stdout, done.stderr
    for one in pyskl(about.parent / "clean_pyskl.pkl", "test"):
        came = np.load(folder / f"{one['frame_dir']}.npy").astype(np.float32)
        np.testing.assert_array_equal(one["keypoint"].transpose(3, 1, 2, 0), came)
    assert command(tmp_path, str(folder), module="skeleton_adv.export").returncode == 2
