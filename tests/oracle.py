"""The rows of a run, recomputed from its saved clips with NumPy alone.

Uses only the tree and the triples of the skeleton from the package. Lengths, estimates of angles, speeds and
feasibility are written out from Zheng et al., Eqs. 4 to 7, joint by joint.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from skeleton_adv.core.skeleton import SKELETONS, Skeleton

SLACK = 1e-6  # metres by which rounding may change a length
PAPER: Mapping[str, Mapping[str, Any]] = {"bone": {"eps": 0.01}, "angle": {"eps": 0.1}, "speed": {"eps": 0.1}}


def columns(
    x: np.ndarray,
    x_adv: np.ndarray,
    mask: np.ndarray,
    skeleton: Skeleton,
    limits: Mapping[str, Mapping[str, Any]] = PAPER,
) -> dict[str, Any]:
    """The columns of one clip, from clips (C, T, V, M) and mask (1, T, V, M); ``limits`` are a run's ``constraint``.

    Speeds may have ``reading: speed`` or ``velocity``, with ``floor: 0``.
    """
    coords = list(skeleton.coords)
    clean, moved, there = x[coords].astype(np.float64), x_adv[coords].astype(np.float64), mask[0]
    found: dict[str, Any] = {"l2": float(np.sqrt(((moved - clean) ** 2).sum()))}
    found["linf"] = float(np.abs(moved - clean).max())
    found["rms_mm"] = 1000 * found["l2"] / max(there.sum(), 1) ** 0.5
    measured = {
        "bone": _bones(clean, moved, there, skeleton, **limits["bone"]),
        "angle": _angles(clean, moved, there, skeleton, **limits["angle"]),
        "speed": _speeds(clean, moved, there, skeleton, **limits["speed"]),
    }
    for name, (values, fine) in measured.items():
        found[f"{name}_mean"] = float(np.mean(values)) if len(values) else float("nan")
        found[f"{name}_max"] = float(np.max(values)) if len(values) else float("nan")
        found[f"{name}_ok"] = all(fine)
    found["feasible"] = all(found[f"{name}_ok"] for name in measured)
    return found


def of_run(folder: Path) -> dict[int, dict[str, Any]]:
    """Number of a clip -> its columns, for all clips saved below a finished run's folder."""
    about = json.loads((folder / "run.json").read_text())
    skeleton, found = SKELETONS[about["skeleton"]], {}
    for path in sorted((folder / "clips").glob("*.safetensors")):
        held = load_file(path)
        for row, number in enumerate(held["index"].tolist()):
            clip = (held[name][row] for name in ("x", "x_adv", "mask"))
            found[number] = columns(*clip, skeleton, limits=about["settings"]["constraint"])
    return found


Measured = tuple[
    list[float], list[bool]
]  # the relative change of every existing entry, and whether it is within the tolerance


def _bones(
    clean: np.ndarray, moved: np.ndarray, there: np.ndarray, skeleton: Skeleton, eps: float, **_: Any
) -> Measured:
    values, fine = [], []
    for joint, parent in enumerate(skeleton.parents):
        if joint == parent:
            continue
        before, after = (np.sqrt(((z[:, :, joint] - z[:, :, parent]) ** 2).sum(axis=0)) for z in (clean, moved))
        exists, change = there[:, joint] & there[:, parent], np.abs(after - before)
        values += (change / (before + skeleton.length_floor))[exists].tolist()
        fine += (change <= eps * before + SLACK)[exists].tolist()
    return values, fine


def _angles(
    clean: np.ndarray, moved: np.ndarray, there: np.ndarray, skeleton: Skeleton, eps: float, **_: Any
) -> Measured:
    values, fine = [], []
    far = np.sqrt(((moved - clean) ** 2).sum(axis=0))  # (T, V, M)
    for a, b, c in skeleton.angles:
        ab, cb = (
            np.sqrt(((clean[:, :, end] - clean[:, :, b]) ** 2).sum(axis=0)) + skeleton.length_floor for end in (a, c)
        )
        change = (far[:, a] + far[:, b]) / ab + (far[:, c] + far[:, b]) / cb
        exists = there[:, a] & there[:, b] & there[:, c]
        values += change[exists].tolist()
        fine += (change <= eps + 2 * SLACK * (1 / ab + 1 / cb))[exists].tolist()
    return values, fine


def _speeds(
    clean: np.ndarray,
    moved: np.ndarray,
    there: np.ndarray,
    skeleton: Skeleton,
    eps: float,
    reading: str = "speed",
    floor: float = 0.0,
    **_: Any,
) -> Measured:
    assert floor == 0
    values, fine = [], []
    for frame in range(clean.shape[1] - 1):
        before, after = (z[:, frame + 1] - z[:, frame] for z in (clean, moved))  # (C, V, M)
        speed = np.sqrt((before**2).sum(axis=0))
        change = np.abs(np.sqrt((after**2).sum(axis=0)) - speed)
        if reading == "velocity":
            change = np.sqrt(((after - before) ** 2).sum(axis=0))
        exists = there[frame] & there[frame + 1]
        values += (change / (speed + skeleton.speed_floor))[exists].tolist()
        fine += (change <= eps * speed + SLACK)[exists].tolist()
    return values, fine
