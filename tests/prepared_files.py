"""Clips written in the prepared formats of other projects, from the facts of each format."""

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from skeleton_adv.data.dataset import Clip, Dataset, RawClip
from skeleton_adv.data.hrnet import HRNet, NTUHRNet
from skeleton_adv.data.kinetics_npy import KineticsNpy
from skeleton_adv.data.ntu_agcn import NTUAGCN
from skeleton_adv.data.ntu_npz import NTUNpz
from skeleton_adv.data.ntu_pyskl import NTUPyskl
from skeleton_adv.data.ntu_sgn import NTUSGN
from skeleton_adv.data.ntu_stgcn import NTUSTGCN

Clips = Sequence[tuple[Clip, RawClip]]
LENGTH = 300
SIZE = (340, 256)  # of an image: its height and width


def half(clips: Clips, split: str) -> Clips:
    return [pair for pair in clips if pair[0].split == split]


def denoised(raw: RawClip) -> np.ndarray:
    """(300, 150): empty frames are dropped, and the first spine of the first person is subtracted."""
    raw = raw.padded(2)
    kept, present = raw.frames[raw.exists.any(axis=(1, 2))], raw.exists.any(axis=1)[raw.exists.any(axis=(1, 2))]
    origin = kept[present[:, 0].argmax(), :, 1, 0]
    moved = np.where(present[:, None, None], kept - origin[:, None, None], 0)
    rows = np.zeros((LENGTH, 150), np.float32)
    rows[: len(moved)] = moved.transpose(0, 3, 2, 1).reshape(len(moved), 150)
    return rows


def ones(clips: Clips, classes: int = 60) -> np.ndarray:
    return np.eye(classes)[[clip.label for clip, _ in clips]]


def denoised_arrays(clips: Clips) -> dict[str, np.ndarray]:
    arrays = {}
    for split in ("train", "test"):
        part = half(clips, split)
        arrays[f"x_{split}"] = np.array([denoised(raw) for _, raw in part], np.float32).reshape(-1, LENGTH, 150)
        arrays[f"y_{split}"] = ones(part)
    return arrays


def write_npz(clips: Clips, folder: Path) -> Dataset:
    np.savez(folder / "NTU60_CS.npz", **denoised_arrays(clips))  # type: ignore[arg-type]
    return NTUNpz(str(folder / "NTU60_CS.npz"))


def write_compressed(clips: Clips, folder: Path) -> Dataset:
    np.savez_compressed(folder / "NTU60_CS.npz", **denoised_arrays(clips))  # type: ignore[arg-type]
    return NTUNpz(str(folder / "NTU60_CS.npz"))


def write_h5(clips: Clips, folder: Path) -> Dataset:
    import h5py

    arrays = denoised_arrays(clips)
    cut = len(arrays["x_train"]) * 19 // 20
    with h5py.File(folder / "NTU_CS.h5", "w") as file:
        for key in "xy":
            file[key], file[f"valid_{key}"] = arrays[f"{key}_train"][:cut], arrays[f"{key}_train"][cut:]
            file[f"test_{key}"] = arrays[f"{key}_test"]
    return NTUSGN(str(folder / "NTU_CS.h5"))


def write_halves(
    clips: Clips, folder: Path, array: str, made: Callable[[RawClip], np.ndarray], suffix: str, protocol: int = 4
) -> None:
    for split, name in (("train", "train"), ("test", "val")):
        part = half(clips, split)
        np.save(folder / f"{name}_{array}", np.stack([made(raw) for _, raw in part]))
        lists = [f"{clip.name}{suffix}" for clip, _ in part], [clip.label for clip, _ in part]
        (folder / f"{name}_label.pkl").write_bytes(pickle.dumps(lists, protocol))


def unmoved(raw: RawClip) -> np.ndarray:
    """(3, 300, V, 2): the clip as it is, followed by zeros."""
    raw = raw.padded(2)
    made = np.zeros((3, LENGTH, *raw.frames.shape[2:]), np.float32)
    made[:, : len(raw.frames)] = raw.frames.transpose(1, 0, 2, 3)
    return made


def write_stgcn(clips: Clips, folder: Path) -> Dataset:
    write_halves(clips, folder, "data.npy", unmoved, ".skeleton", protocol=2)  # as Python 2 writes it
    return NTUSTGCN(str(folder))


def write_kinetics(clips: Clips, folder: Path) -> Dataset:
    write_halves(clips, folder, "data.npy", unmoved, ".json")
    return KineticsNpy(str(folder), 60)


def repeated(raw: RawClip) -> np.ndarray:
    """(3, 300, 25, 2) as 2s-AGCN makes it: surest person first, repeated, centred in each frame, rotated."""
    raw = raw.padded(2)
    present = raw.exists.any(axis=1)
    energy = [
        sum(raw.frames[present[:, m], axis, :, m].std() for axis in range(3)) if present[:, m].any() else 0.0
        for m in range(2)
    ]
    x = np.zeros((2, LENGTH, 25, 3), np.float32)
    for place, person in enumerate(sorted(range(2), key=lambda m: -energy[m])):
        own, there = raw.frames[..., person].transpose(0, 2, 1), present[:, person]
        if there.any():
            own = own[: np.flatnonzero(there)[-1] + 1] if there[0] else own[there]
            x[place] = own[np.arange(LENGTH) % len(own)]
    there = (x.sum(-1, keepdims=True) != 0).astype(np.float32)
    x = (x - x[:1, :, 1:2]) * there
    for start, end, axis in ((0, 1, (0, 0, 1)), (8, 4, (1, 0, 0))):
        bone = (x[0, 0, end] - x[0, 0, start]) * (1 if start == 0 else -1)
        x = (x.astype(np.float64) @ turn(bone.astype(np.float64), np.array(axis, float)).T).astype(np.float32)
    return x.transpose(3, 1, 2, 0)


def turn(bone: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """The smallest rotation from ``bone`` to ``axis``."""
    across = np.cross(bone, axis)
    angle = np.arccos(np.clip(bone @ axis / np.linalg.norm(bone), -1, 1))
    return Rotation.from_rotvec(across / np.linalg.norm(across) * angle).as_matrix()  # type: ignore[no-any-return]


def write_agcn(clips: Clips, folder: Path) -> Dataset:
    write_halves(clips, folder, "data_joint.npy", repeated, ".skeleton")
    return NTUAGCN(str(folder), space="normalised")


def annotations(clips: Clips, train: str, test: str, content: Callable[[RawClip], dict[str, Any]]) -> dict[str, Any]:
    splits = {train: "train", test: "test"}
    return {
        "split": {name: [clip.name for clip, _ in half(clips, split)] for name, split in splits.items()},
        "annotations": [
            {"frame_dir": clip.name, "label": clip.label, "total_frames": len(raw.frames), **content(raw)}
            for clip, raw in clips
        ],
    }


def in_space(raw: RawClip) -> dict[str, Any]:
    persons = raw.frames[..., raw.exists.any(axis=(0, 1))]
    return {"keypoint": persons.transpose(3, 0, 2, 1).astype(np.float16)}


def write_pyskl(clips: Clips, folder: Path) -> Dataset:
    content = annotations(clips, "xsub_train", "xsub_val", in_space)
    (folder / "ntu60_3danno.pkl").write_bytes(pickle.dumps(content))
    return NTUPyskl(str(folder / "ntu60_3danno.pkl"))


def in_pixels(raw: RawClip) -> dict[str, Any]:
    """Pixels of the first 17 joints, y down."""
    x, y, score = raw.frames[:, :, :17].transpose(1, 3, 0, 2)
    pixels = np.stack([(x + 0.5) * SIZE[1], (0.5 - y) * SIZE[0]], -1) * (score > 0)[..., None]
    return {"keypoint": pixels.astype(np.float16), "keypoint_score": score.astype(np.float16), "img_shape": SIZE}


def write_hrnet(clips: Clips, folder: Path) -> Dataset:
    content = annotations(clips, "xsub_train", "xsub_val", in_pixels)
    (folder / "ntu60_hrnet.pkl").write_bytes(pickle.dumps(content))
    return NTUHRNet(str(folder / "ntu60_hrnet.pkl"))


def write_videos(clips: Clips, folder: Path) -> Dataset:
    content = annotations(clips, "train1", "test1", in_pixels)
    (folder / "hmdb51_hrnet.pkl").write_bytes(pickle.dumps(content))
    return HRNet(str(folder / "hmdb51_hrnet.pkl"), "train1", "test1", 60)


class Format(NamedTuple):
    """A format: its writer, whether its clips are of an image, and the file to damage."""

    write: Callable[[Clips, Path], Dataset]
    image: bool
    file: str


FORMATS = {
    "npz": Format(write_npz, False, "NTU60_CS.npz"),
    "compressed": Format(write_compressed, False, "NTU60_CS.npz"),
    "h5": Format(write_h5, False, "NTU_CS.h5"),
    "stgcn": Format(write_stgcn, False, "val_data.npy"),
    "agcn": Format(write_agcn, False, "val_data_joint.npy"),
    "kinetics": Format(write_kinetics, True, "val_data.npy"),
    "pyskl": Format(write_pyskl, False, "ntu60_3danno.pkl"),
    "hrnet": Format(write_hrnet, True, "ntu60_hrnet.pkl"),
    "videos": Format(write_videos, True, "hmdb51_hrnet.pkl"),
}
