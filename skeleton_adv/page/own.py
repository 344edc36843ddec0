"""A user's own clips in an ``.npz`` file, for the player."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.core.skeleton import SKELETONS, Skeleton
from skeleton_adv.data.npz import DAMAGED, npz_arrays
from skeleton_adv.page.clips import Shown

MOST = 200  # clips of one file
LARGEST = 100.0  # metres from the camera
SMALL = {"m": "mm", "image": "‰"}


def clips_of(path: Path, skeleton: str | None = None) -> list[Shown]:
    """The clips of a file, as ``python -m skeleton_adv.export`` writes it, or of a user's own.

    - ``x``: (T, V, C), (N, T, V, C) or (N, C, T, V, M), in metres or, for a body with two coordinates, in fractions
      of the image
    - ``x_adv``: the same clips after an attack; may be missing
    - ``mask``: (T, V), (N, T, V) or (N, T, V, M) bool; without it, a joint exists where a coordinate is not 0
    - ``joints`` and ``parents``: the body, unless ``skeleton`` or the number of joints names a known one
    - ``name``, ``label``, ``clean_pred``, ``adv_pred``, ``classes``, ``fps``, ``unit``, ``space``: may be missing

    Raises ``DataError`` in one line for a file that is something else. Nothing is unpickled.
    """
    content = _content(path)
    if "x" not in content:
        raise DataError(f"{path}: contains no array x: save the clip with np.savez(path, x=clip), (T, V, 3) in metres")
    if content["x"].ndim not in (3, 4, 5) or content["x"].dtype.kind not in "fiu":
        what = f"has the shape {content['x'].shape} and {content['x'].dtype} values"
        raise DataError(f"{path}: x {what}: save numbers (T, V, 3) or (N, T, V, 3)")
    body = _body(path, content, skeleton)
    x = _stacked(path, "x", content["x"], body)
    x_adv = _stacked(path, "x_adv", content["x_adv"], body) if "x_adv" in content else None
    if x_adv is not None and x_adv.shape != x.shape:
        raise DataError(f"{path}: x_adv has the shape {content['x_adv'].shape}, x {content['x'].shape}: use one shape")
    if len(x) > MOST:
        raise DataError(f"{path}: contains {len(x)} clips, and a page shows {MOST} at most: save fewer")
    exists = _mask(path, content, x, body)
    for values in (x,) if x_adv is None else (x, x_adv):
        coords = np.where(exists[:, None], values[:, list(body.coords)], 0)
        if not np.isfinite(coords).all() or np.abs(coords).max(initial=0) > LARGEST:
            raise DataError(
                f"{path}: a coordinate is not finite or beyond {LARGEST:g}: give metres, and a mask of what exists"
            )
    return [_shown(path, content, body, place, x, x_adv, exists) for place in range(len(x))]


def _content(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [one.filename.removesuffix(".npy") for one in archive.infolist()]
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: name an .npz file with a clip") from None
    except DAMAGED as error:
        raise DataError(f"{path}: not a readable .npz file ({error}): save it with np.savez") from None
    return npz_arrays(path, names)


def _body(path: Path, content: Mapping[str, np.ndarray], name: str | None) -> Skeleton:
    """The skeleton that is named, in the file, or known by its number of joints."""
    if name is not None:
        if name not in SKELETONS:
            raise SettingError(f"--skeleton {name} is not known: {nearest(name, [*SKELETONS])}")
        return SKELETONS[name]
    if "joints" in content and "parents" in content:
        about: dict[str, Any] = {"name": f"of {path.name}", "joints": [str(one) for one in content["joints"].ravel()]}
        about["parents"] = content["parents"].ravel().tolist()
        if "coords" in content:
            coords = content["coords"].ravel().tolist()
            about |= {
                "coords": coords,
                "channels": max(content["x"].shape[1] if content["x"].ndim == 5 else 0, len(coords)),
            }
        try:
            return Skeleton.from_dict(about)
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}: joints and parents are no skeleton ({error})") from None
    shape = content["x"].shape
    joints, channels = (shape[3], shape[1]) if len(shape) == 5 else shape[-2:]
    alike = [one for one in SKELETONS.values() if one.num_joints == joints]
    known = [one.name for one in [one for one in alike if len(one.coords) == channels] or alike]
    if len(known) == 1:
        return SKELETONS[known[0]]
    which = f"{', '.join(known)} have" if known else "no known skeleton has"
    raise DataError(f"{path}: {which} {joints} joints: name one with --skeleton, or save joints and parents too")


def _stacked(path: Path, name: str, values: np.ndarray, body: Skeleton) -> np.ndarray:
    """(N, C, T, V, M) float64."""
    if values.dtype.kind not in "fiu":
        raise DataError(f"{path}: {name} contains {values.dtype} values, not numbers")
    if values.ndim == 3:
        values = values[None]
    if values.ndim == 4:
        values = values.transpose(0, 3, 1, 2)[..., None]
    if values.ndim != 5 or values.shape[3] != body.num_joints or 0 in values.shape:
        raise DataError(
            f"{path}: {name} has the shape {values.shape}: give (T, {body.num_joints}, C) for {body.name}, or "
            f"(N, T, {body.num_joints}, C)"
        )
    if values.shape[1] < max(body.coords) + 1 or values.shape[2] < 2:
        raise DataError(f"{path}: {name} has {values.shape[1]} coordinates and {values.shape[2]} frames: {body.name} "
                        f"has {max(body.coords) + 1} coordinates, and a clip two frames or more")  # fmt: skip
    if values.shape[1] < body.channels:  # coordinates without their score
        values = np.concatenate([values, np.ones_like(values[:, : body.channels - values.shape[1]])], axis=1)
    return values[:, : body.channels].astype(np.float64)


def _mask(path: Path, content: Mapping[str, np.ndarray], x: np.ndarray, body: Skeleton) -> np.ndarray:
    """(N, T, V, M) bool."""
    shape = (len(x), *x.shape[2:])
    if "mask" not in content:
        found: np.ndarray = np.isfinite(x).all(axis=1) & (x[:, list(body.coords)] != 0).any(axis=1)
        return found
    mask = content["mask"].astype(bool)
    for wanted in (shape, shape[:3] if shape[3] == 1 else (), shape[1:3] if shape[0] == shape[3] == 1 else ()):
        if mask.shape == wanted:
            return mask.reshape(shape)
    raise DataError(f"{path}: mask has the shape {mask.shape}: it must be {shape}")


def _shown(
    path: Path,
    content: Mapping[str, np.ndarray],
    body: Skeleton,
    place: int,
    x: np.ndarray,
    x_adv: np.ndarray | None,
    exists: np.ndarray,
) -> Shown:
    """One clip with what the file says about it."""
    unit = "image" if len(body.coords) == 2 else "m"
    classes = [str(one).replace("_", " ") for one in content["classes"].ravel()] if "classes" in content else []
    facts: dict[str, Any] = {"dataset": path.name, "attack": "from a file" if x_adv is not None else "no attack"}
    for name in ("label", "clean_pred", "adv_pred"):
        if (value := _entry(content, name, place)) is not None:
            number = int(value) if np.issubdtype(np.asarray(value).dtype, np.integer) else -1
            facts[name] = classes[number] if 0 <= number < len(classes) else str(value)
    name = _entry(content, "name", place)
    fps = _entry(content, "fps", place)
    dt = 1 / float(fps) if fps is not None and np.issubdtype(np.asarray(fps).dtype, np.number) and fps > 0 else None
    space = str(content["space"].ravel()[0]) if "space" in content and content["space"].size else "camera"
    title = str(name) if name is not None else f"{path.stem} {place + 1}" if len(x) > 1 else path.stem
    own = None if x_adv is None else x_adv[place]
    return Shown(title, body, x[place], own, exists[place], dt, unit, SMALL[unit], space, facts, classes)


def _entry(content: Mapping[str, np.ndarray], name: str, place: int) -> Any:
    """The entry of one clip in an array (N,), or the only entry; None if there is none."""
    values = content[name].ravel() if name in content else np.array([])
    return values[place] if place < len(values) else values[0] if len(values) == 1 else None
