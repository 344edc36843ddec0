"""One clip of a user's array -> a clip in the attack space: units, absence, and every mistake named in one line."""

from typing import Any, Literal, NoReturn, get_args

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.dataset import LARGEST, RawClip, Unit

ArrayUnit = Literal["m", "cm", "mm", "px", "image"]
METRES: dict[str, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001}
# Limits of the median bone of a clip, in metres or images. A body's is 0.1 to 0.4 m, a hand's 0.02 to 0.04 m. A wrong
# unit is off by 10 or more: every confusion of m, cm and mm is found, except a body's cm that are given as mm.
SHORTEST = 0.005
LONGEST: dict[Unit, float] = {"m": 1.5, "image": 1.0}
OUTSIDE = 0.6  # of the image from its middle: half of it is inside
PIXELS = 0.5  # the shortest, in pixels
TYPICAL = 0.2  # metres


def unit_in_space(unit: ArrayUnit) -> Unit:
    """The unit in the attack space of clips that are given in ``unit``."""
    return "m" if unit in METRES else "image"


def to_raw(
    values: Any,
    skeleton: Skeleton,
    *,
    unit: ArrayUnit,
    where: str,
    image_size: tuple[float, float] | None = None,
    mask: Any = None,
    num_persons: int | None = None,
) -> RawClip:
    """A clip (T, V, C) or (C, T, V, M) of real numbers as a ``RawClip`` (T, C, V, M) in the attack space.

    - ``values``: C is the skeleton's channels, or its coordinates alone: the score of a joint is then 1;
    - ``unit``: ``m``, ``cm`` or ``mm``, converted to metres; ``px``, pixels from the upper left corner of an image
      of ``image_size`` (width, height), y down, converted to fractions of it from its middle, y up; or ``image``,
      such fractions as they are;
    - ``mask``: (T, V) or (T, V, M) bool, which joints exist;
    - ``num_persons``: absent persons are added up to this number; None: as they are;
    - ``where``: the file or clip that messages name.

    A joint does not exist where a channel is NaN, the mask is false, or the score is not above 0. Without a mask, a
    person whose joints are all exactly 0 in a frame does not exist in it, and neither does a joint at pixel (0, 0):
    so public formats write absence. Raises ``DataError`` for anything else that is not a clip of this body, and for a
    median bone that shows another unit.
    """
    _check_unit(unit, image_size, skeleton, where)
    clip = _clip(values, skeleton, where)  # (T, C, V, M) float64
    exists = ~np.isnan(clip).any(axis=1)
    clip = np.where(exists[:, None], clip, 0.0)
    _check_finite(clip, where)
    exists &= _recorded(clip, skeleton, unit) if mask is None else _mask(mask, exists.shape, where)
    if len(scores := skeleton.scores):
        exists &= (clip[:, list(scores)] > 0).all(axis=1)
    if not exists.any():
        _refuse(where, "no joint exists in any frame", "check the coordinates, the mask and the scores")
    clip = np.where(exists[:, None], _in_space(clip, skeleton, unit, image_size), 0.0)
    _check_bones(clip, exists, skeleton, unit, image_size, where)
    _check_size(clip, unit, where)
    raw = RawClip(np.ascontiguousarray(clip, dtype=np.float32), exists)
    return raw if num_persons is None else padded(raw, num_persons, where)


def to_unit(
    clips: np.ndarray, skeleton: Skeleton, *, unit: ArrayUnit, image_size: tuple[float, float] | None = None
) -> np.ndarray:
    """Clips (..., C, T, V, M) of the attack space in ``unit``, the inverse of ``to_raw``; absent joints are 0."""
    exists = (clips != 0).any(axis=-4, keepdims=True)
    scaled = clips.copy()
    if unit in METRES:
        scaled[..., list(skeleton.coords), :, :, :] /= METRES[unit]
    elif unit == "px" and image_size is not None:
        (across, down), (width, height) = skeleton.coords, image_size
        scaled[..., across, :, :, :] = (clips[..., across, :, :, :] + 0.5) * width
        scaled[..., down, :, :, :] = (0.5 - clips[..., down, :, :, :]) * height
    given: np.ndarray = np.where(exists, scaled, 0).astype(clips.dtype)
    return given


def padded(raw: RawClip, num_persons: int, where: str) -> RawClip:
    """The clip with ``num_persons`` persons; raises ``DataError`` if it has more."""
    found = raw.frames.shape[-1]
    if found > num_persons:
        _refuse(where, f"{found} persons, more than num_persons={num_persons}", f"set dataset.num_persons={found}")
    return raw.padded(num_persons)


def _refuse(where: str, what: str, way_out: str) -> NoReturn:
    raise DataError(f"{where}: {what}: {way_out}")


def _check_unit(unit: str, image_size: tuple[float, float] | None, skeleton: Skeleton, where: str) -> None:
    if unit not in get_args(ArrayUnit):
        _refuse(where, f"the unit {unit!r} is unknown", f"choose from {', '.join(get_args(ArrayUnit))}")
    if unit in METRES and len(skeleton.coords) == 3:
        return
    if unit in METRES:
        _refuse(where, f"unit={unit} is a length, but {skeleton.name} has joints in an image", "use px or image")
    if len(skeleton.coords) != 2:
        _refuse(where, f"unit={unit} is of an image, but {skeleton.name} has three coordinates", "use a unit of length")
    if unit == "px" and (image_size is None or not all(1 <= side < 1e6 for side in image_size)):
        _refuse(where, f"unit=px with image_size={image_size}", "give the image's (width, height) in pixels")


def _clip(values: Any, skeleton: Skeleton, where: str) -> np.ndarray:
    """(T, C, V, M) float64, C all channels of the skeleton."""
    try:
        array = np.asarray(values)
    except ValueError:
        _refuse(where, "the values are not an array", "rows must have equal lengths")
    if array.dtype.kind not in "fiu":
        _refuse(where, f"the values are of type {array.dtype}", "use real numbers, such as float32")
    channels, joints, coords = skeleton.channels, skeleton.num_joints, len(skeleton.coords)
    if array.ndim == 3:
        array = array.transpose(2, 0, 1)[..., None]
    if array.ndim != 4 or array.shape[2] != joints or array.shape[0] not in (channels, coords):
        numbers = f"{channels}" if channels == coords else f"{coords} or {channels}"
        _refuse(
            where,
            f"the shape {np.shape(values)} does not fit {skeleton.name}",
            f"use (frames, {joints}, channels) or (channels, frames, {joints}, persons) with {numbers} channels",
        )
    if array.shape[1] < 2 or array.shape[3] < 1:
        _refuse(where, f"{array.shape[1]} frames, {array.shape[3]} persons", "a clip requires two frames and a person")
    clip = array.transpose(1, 0, 2, 3).astype(np.float64)
    if clip.shape[1] == channels:
        return clip
    full = np.ones((len(clip), channels, *clip.shape[2:]))
    full[:, list(skeleton.coords)] = clip
    return full


def _check_finite(clip: np.ndarray, where: str) -> None:
    wrong = ~np.isfinite(clip)
    if wrong.any():
        place = np.argwhere(wrong)[0]
        _refuse(where, f"{_place(place)} contains {clip[tuple(place)]}", "use NaN for a joint that does not exist")


def _place(place: np.ndarray) -> str:
    frame, _, joint, person = (int(number) for number in place)
    return f"frame {frame} (counted from 0), joint {joint}, person {person}"


def _recorded(clip: np.ndarray, skeleton: Skeleton, unit: str) -> np.ndarray:
    """(T, V, M) which joints exist by their coordinates alone."""
    placed: np.ndarray = (clip[:, list(skeleton.coords)] != 0).any(axis=1)
    return placed if unit == "px" else np.broadcast_to(placed.any(axis=1, keepdims=True), placed.shape)


def _mask(mask: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    """(T, V, M) bool from a user's mask."""
    found = np.asarray(mask)
    if found.shape == shape[:2] and shape[2] == 1:
        found = found[..., None]
    if found.shape != shape:
        _refuse(where, f"the mask's shape {found.shape} does not fit", f"use (frames, joints, persons) {shape}")
    if found.dtype.kind not in "biuf" or not np.isin(found, (0, 1)).all():
        _refuse(where, f"the mask contains values of {found.dtype} other than true and false", "use bool")
    return found.astype(bool)


def _in_space(
    clip: np.ndarray, skeleton: Skeleton, unit: ArrayUnit, image_size: tuple[float, float] | None
) -> np.ndarray:
    """The clip (T, C, V, M) with its coordinates in metres or as fractions of the image."""
    moved = clip.copy()
    if unit in METRES:
        moved[:, list(skeleton.coords)] *= METRES[unit]
    elif image_size is not None:  # px
        (across, down), (width, height) = skeleton.coords, image_size
        moved[:, across] = clip[:, across] / width - 0.5
        moved[:, down] = 0.5 - clip[:, down] / height
    return moved


def _check_size(clip: np.ndarray, unit: ArrayUnit, where: str) -> None:
    space = unit_in_space(unit)
    wrong = np.abs(clip) > LARGEST[space]
    if wrong.any():
        place = np.argwhere(wrong)[0]
        hint = "is the unit mm or cm?" if space == "m" else "are these pixels, of an image of another size?"
        value = f"{clip[tuple(place)]:.4g} {'m' if space == 'm' else 'of the image'}"
        _refuse(where, f"{_place(place)} contains {value}, more than {LARGEST[space]:g}", f"repair it, or {hint}")


def _check_bones(
    clip: np.ndarray,
    exists: np.ndarray,
    skeleton: Skeleton,
    unit: ArrayUnit,
    image_size: tuple[float, float] | None,
    where: str,
) -> None:
    """Raise ``DataError`` if the median bone is so long or short that the unit must be another."""
    ends, parents = np.array(skeleton.bones).T
    there = exists[:, ends] & exists[:, parents]  # (T, E, M)
    if not there.any():
        return
    bones = (clip[:, :, ends] - clip[:, :, parents])[:, list(skeleton.coords)]

    def median(scale: tuple[float, ...]) -> float:
        with np.errstate(over="ignore"):  # of values that are refused next
            return float(np.median(np.linalg.norm(bones * np.reshape(scale, (-1, 1, 1)), axis=1)[there]))

    length = median((1.0,) * len(skeleton.coords))
    if unit in METRES and not SHORTEST <= length <= LONGEST["m"]:
        given = min(max(length, 1e-9), 1e9) / METRES[unit]
        likely = min(METRES, key=lambda one: abs(np.log(given * METRES[one] / TYPICAL)))
        hint = "scale the clips to a body in metres" if likely == unit else f"is the unit {likely}?"
        _refuse(where, f"the median bone is {length:.3g} m, as the unit is {unit}", hint)
    if unit not in METRES and length > LONGEST["image"]:
        hint = "is image_size right?" if unit == "px" else "use unit px and image_size for pixels"
        _refuse(where, f"the median bone is {length:.3g} times as long as the image", hint)
    outside = float(np.median(np.abs(clip[:, list(skeleton.coords)]).max(axis=1)[exists]))
    if unit not in METRES and outside > OUTSIDE:
        hint = "is image_size (width, height) right?" if unit == "px" else "use unit px and image_size for pixels"
        _refuse(where, "most joints are outside the image", hint)
    if image_size is not None and unit == "px" and median(image_size) < PIXELS:
        _refuse(where, "the median bone is shorter than half a pixel", "multiply fractions by the image's size")
