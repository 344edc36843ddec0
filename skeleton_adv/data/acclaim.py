"""Acclaim's motion capture files: a body in an ``.asf`` file, its motion in an ``.amc`` file, forward kinematics."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from skeleton_adv.core.errors import DataError

AXES = "XYZ"
ROTATIONS = ("rx", "ry", "rz")
ROOT_VALUES = ("TX", "TY", "TZ", "RX", "RY", "RZ")
INCH = 0.0254  # metres
MOST_FRAMES = 100_000  # 14 minutes at 120 Hz
MOST_BYTES = 500_000_000
LONGEST_BONE = 100.0  # metres; a longer one means a damaged file
BLANK = str.maketrans("(),", "   ")  # in an .asf file, these are spaces
LARGEST_NUMBER = 1e6  # the sum of the numbers in a line; a larger one means a damaged file
Pair = tuple[float, float]


@dataclass(frozen=True)
class Bone:
    """A rigid bone: from the end of its parent along ``direction``, in the body's axes at rest.

    ``axis`` (3,) are the angles in degrees of the bone's own axes, about the axes of the body in the order ``order``.
    ``dof`` are the rotations that a motion gives, in the order of their values in the ``.amc`` file, which is also the
    order in which they turn the bone about its own axes. ``limits`` are their ranges in degrees; recordings may exceed
    them.
    """

    name: str
    direction: tuple[float, float, float]  # of length 1, as nearly as the file writes it
    length: float  # metres
    axis: tuple[float, float, float] = (0.0, 0.0, 0.0)
    order: str = AXES
    dof: tuple[str, ...] = ()
    limits: tuple[Pair, ...] = ()
    id: int = 0


@dataclass(frozen=True)
class Body:
    """A body of an ``.asf`` file: the root, its bones in the order of the file, and the parent of each.

    ``parents[b]`` is the number of the joint at which bone ``b`` starts: 0 for the root, ``c + 1`` for the end of
    bone ``c``. ``unit`` is the size in metres of the file's unit of length, in which an ``.amc`` file gives the
    position of the root. ``values`` are the root's six values in the order of the ``.amc`` file, in which its rotations
    turn the body; ``position`` and ``orientation`` (about the axes in the order ``order``) are added to every frame.
    """

    bones: tuple[Bone, ...]
    parents: tuple[int, ...]
    unit: float
    values: tuple[str, ...] = ROOT_VALUES
    order: str = AXES
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)  # metres
    orientation: tuple[float, float, float] = (0.0, 0.0, 0.0)  # degrees

    @property
    def joints(self) -> tuple[str, ...]:
        """The root, then the end of each bone, by the names in the file."""
        return ("root", *(bone.name for bone in self.bones))


@dataclass(frozen=True)
class Motion:
    """The frames of an ``.amc`` file: ``root`` (F, 6) and for each bone its ``angles`` (F, dof), in degrees."""

    root: np.ndarray
    angles: tuple[np.ndarray, ...]

    def every(self, step: int) -> "Motion":
        """The first frame, and every ``step``-th after it."""
        return Motion(self.root[::step], tuple(angles[::step] for angles in self.angles))


def positions(body: Body, motion: Motion) -> np.ndarray:
    """Joints (F, 1 + bones, 3) in metres, float64, by forward kinematics.

    Schafer, "Acclaim Skeleton File Definition V1.10", 1994, and "Acclaim Format - ASF line details" of VICON. A bone
    with own axes ``C`` and rotation ``M`` turns by ``R = R_parent C M C^-1``; its end is its start plus ``length R
    direction``. An order XYZ means first about x, then about y, then about z, about axes that do not turn.
    """
    root = motion.root[:, [body.values.index(name) for name in ROOT_VALUES]]
    turned = rotation(root[:, 3:], "".join(name[1] for name in body.values if name.startswith("R")))
    turns = [turned @ rotation(np.array(body.orientation), body.order)]  # of each joint, (F, 3, 3)
    places = [root[:, :3] * body.unit + np.array(body.position)]  # of each joint, (F, 3)
    for bone, parent, given in zip(body.bones, body.parents, motion.angles, strict=True):
        angles = np.zeros((len(root), 3))
        angles[:, [ROTATIONS.index(name) for name in bone.dof]] = given
        own = rotation(np.array(bone.axis), bone.order)
        turned = rotation(angles, "".join(name[1] for name in bone.dof).upper())
        turns.append(turns[parent] @ (own @ turned @ own.T))
        direction = np.array(bone.direction)
        places.append(places[parent] + bone.length * (turns[-1] @ (direction / np.linalg.norm(direction))))
    return np.stack(places, axis=1)


def rotation(degrees: np.ndarray, order: str = AXES) -> np.ndarray:
    """Matrices (..., 3, 3) that rotate columns by ``degrees`` (..., 3) about x, y, z, the first in ``order`` first."""
    radians = np.radians(degrees)
    total = np.broadcast_to(np.eye(3), (*radians.shape[:-1], 3, 3))
    for name in order:
        axis = AXES.index(name)
        u, v = (axis + 1) % 3, (axis + 2) % 3
        cos, sin = np.cos(radians[..., axis]), np.sin(radians[..., axis])
        turn = np.zeros((*radians.shape[:-1], 3, 3))
        turn[..., axis, axis] = 1
        turn[..., u, u], turn[..., u, v], turn[..., v, u], turn[..., v, v] = cos, -sin, sin, cos
        total = turn @ total
    return total


def read_asf(path: Path) -> Body:
    """The body in an ``.asf`` file, whose bones are in an order in which parents come first.

    Lengths are in inches divided by the file's ``length``, as VICON and the CMU and HDM05 databases write them.
    Raises ``DataError`` naming the file and the line or the bone.
    """
    return _Asf(path).body()


def read_amc(path: Path, body: Body) -> Motion:
    """The motion in an ``.amc`` file, as the values of ``body`` in every frame, in degrees.

    Raises ``DataError`` naming the file, the line and the frame, unless every frame gives each value exactly once.
    """
    width = {"root": len(body.values)} | {bone.name: len(bone.dof) for bone in body.bones if bone.dof}
    lines = _Lines(path)
    found: dict[str, list[list[float]]] = {name: [] for name in width}
    frame, degrees = 0, False
    for words in lines:
        name = words[0]
        if name.startswith(":"):
            if name.upper() == ":RADIANS":
                lines.fail("the angles must be in degrees (:DEGREES), not in radians")
            degrees |= name.upper() == ":DEGREES"
        elif len(words) == 1 and name.isdigit():
            _check_frame(lines, found, frame)
            frame += 1
            if name.lstrip("0") != str(frame) or frame > MOST_FRAMES:
                lines.fail(f"expected the number of frame {frame} (at most {MOST_FRAMES}), found {name[:40]!r}")
        elif not frame or name not in width:
            lines.fail(f"frame {frame}: {name[:40]!r} is no bone that the body of this clip moves")
        elif len(found[name]) >= frame:
            lines.fail(f"frame {frame}: the values of {name} appear twice")
        else:
            found[name].append(lines.numbers(words[1:], width[name], f"frame {frame}: {name}"))
    _check_frame(lines, found, frame)
    if not frame or not degrees:
        lines.fail("the file contains no frame" if degrees else "the file does not state :DEGREES")
    values = {name: np.array(rows, dtype=np.float64) for name, rows in found.items()}
    still = np.zeros((frame, 0))
    return Motion(values["root"], tuple(values.get(bone.name, still) for bone in body.bones))


def _check_frame(lines: "_Lines", found: dict[str, list[list[float]]], frame: int) -> None:
    """Fail unless each bone has the values of all frames up to ``frame``."""
    missing = next((name for name, rows in found.items() if len(rows) < frame), "")
    if missing:
        lines.fail(f"frame {frame}: the values of {missing} are missing")


class _Lines:
    """The words of every line that is neither empty nor a comment; every error names the file and the line."""

    def __init__(self, path: Path) -> None:
        self.path, self.number = path, 0
        try:
            if path.stat().st_size > MOST_BYTES:
                raise DataError(f"{path}: the file exceeds {MOST_BYTES:g} bytes, so it is no motion capture file")
            self._lines = path.read_text(encoding="latin-1").splitlines()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise DataError(f"{path} is not readable ({reason})") from None

    def __iter__(self) -> Iterator[list[str]]:
        for number, line in enumerate(self._lines, 1):
            words = line.split("#")[0].split()
            if words:
                self.number = number
                yield words

    def fail(self, what: str) -> NoReturn:
        raise DataError(f"{self.path}:{self.number}: {what}")

    def numbers(self, words: Sequence[str], count: int, what: str) -> list[float]:
        """Exactly ``count`` numbers."""
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) != count or not sum(map(abs, values)) <= LARGEST_NUMBER:  # false for NaN too
            self.fail(f"{what} requires {count} finite numbers, found {' '.join(words)[:60]!r}")
        return values


Entry = tuple[int, list[str]]  # a line's number and words


class _Asf:
    """The sections of an ``.asf`` file, each with the lines below its keyword."""

    def __init__(self, path: Path) -> None:
        self.lines = _Lines(path)
        self.sections: dict[str, list[Entry]] = {}
        section = ""
        for words in self.lines:
            if words[0].startswith(":"):
                section = words[0].lower()
                if section in self.sections:
                    self.lines.fail(f"the section {section} appears twice")
                self.sections[section] = []
            elif section:
                plain = " ".join(words).translate(BLANK).split()
                if plain:
                    self.sections[section].append((self.lines.number, plain))
        for name in (":units", ":root", ":bonedata", ":hierarchy"):
            if name not in self.sections:
                self.lines.fail(f"the section {name} is missing")

    def body(self) -> Body:
        units = self.settings(":units", ("length",))
        (scale,) = self.numbers(units["length"], 1, "length")
        if not 1e-3 <= scale <= 1e3:
            self.fail(units["length"], f"length {scale:g} is no scale of an inch")
        if "angle" in units and units["angle"][1][1:] != ["deg"]:
            self.fail(units["angle"], "the angle must be in degrees (deg)")
        root = self.settings(":root", ("order", "axis", "position", "orientation"))
        values = tuple(word.upper() for word in root["order"][1][1:])
        if sorted(values) != sorted(ROOT_VALUES):
            self.fail(root["order"], f"the order of the root must contain {' '.join(ROOT_VALUES)}")
        x, y, z = self.numbers(root["position"], 3, "position")
        unit = INCH / scale
        bones, parents = self.tree({bone.name: bone for bone in self.bones(unit)})
        return Body(
            bones,
            parents,
            unit=unit,
            values=values,
            order=self.order(root["axis"], root["axis"][1][1:]),
            position=(x * unit, y * unit, z * unit),
            orientation=_three(self.numbers(root["orientation"], 3, "orientation")),
        )

    def bones(self, unit: float) -> Iterator[Bone]:
        """Every bone between ``begin`` and ``end``."""
        known: set[str] = set()
        for block in self.blocks(":bonedata"):
            first = block[0]
            entries = {words[0].lower(): (number, words) for number, words in block}
            for name in ("name", "direction", "length", "axis"):
                if name not in entries:
                    self.fail(first, f"the bone that begins here has no {name}")
            words = entries["name"][1]
            if len(words) != 2 or words[1] in known or words[1] == "root":
                self.fail(entries["name"], f"{' '.join(words[1:])[:40]!r} must be one new name")
            known.add(words[1])
            yield self.bone(words[1], entries, block, unit)

    def bone(self, name: str, entries: dict[str, Entry], block: list[Entry], unit: float) -> Bone:
        direction = _three(self.numbers(entries["direction"], 3, f"{name}: direction"))
        if np.linalg.norm(direction) < 1e-6:
            self.fail(entries["direction"], f"{name}: the direction must not be 0")
        (length,) = self.numbers(entries["length"], 1, f"{name}: length")
        if not 0 < length * unit <= LONGEST_BONE:
            self.fail(entries["length"], f"{name}: length {length:g} is not between 0 and {LONGEST_BONE:g} m")
        number, axis = entries["axis"]
        dof = entries.get("dof", (0, ["dof"]))
        turns = tuple(word.lower() for word in dof[1][1:])
        if len(set(turns)) < len(turns) or not {*turns} <= {*ROTATIONS}:
            self.fail(dof, f"{name}: dof {' '.join(turns)[:40]} must be different ones of {' '.join(ROTATIONS)}")
        (serial,) = self.numbers(entries["id"], 1, f"{name}: id") if "id" in entries else (0,)
        return Bone(
            name,
            direction,
            length * unit,
            axis=_three(self.numbers((number, axis[:4]), 3, f"{name}: axis")),
            order=self.order((number, axis), axis[4:]),
            dof=turns,
            limits=self.limits(name, entries, block, len(turns)),
            id=int(serial),
        )

    def limits(self, name: str, entries: dict[str, Entry], block: list[Entry], count: int) -> tuple[Pair, ...]:
        """One pair of numbers per degree of freedom: one on the line ``limits``, the others on the lines below."""
        if "limits" not in entries:
            return ()
        start = block.index(entries["limits"])
        texts = [(block[start][0], block[start][1][1:]), *block[start + 1 : start + count]]
        pairs = [self.numbers((number, ["limits", *words]), 2, f"{name}: limits") for number, words in texts]
        if len(pairs) != count:
            self.fail(entries["limits"], f"{name}: {len(pairs)} limits for {count} degrees of freedom")
        return tuple((low, high) for low, high in pairs)

    def tree(self, bones: dict[str, Bone]) -> tuple[tuple[Bone, ...], tuple[int, ...]]:
        """The bones in the order of the file, or, where that order has children before parents, parents first."""
        parents: dict[str, str] = {}
        for block in self.blocks(":hierarchy"):
            for number, words in block:
                for child in words[1:]:
                    unknown = next((name for name in (words[0], child) if name not in bones and name != "root"), "")
                    if unknown:
                        self.fail((number, words), f"{unknown[:40]!r} is no bone of this file")
                    if child in parents or child == "root":
                        self.fail((number, words), f"{child} has two parents")
                    parents[child] = words[0]
        numbers = {"root": 0}
        while len(numbers) <= len(bones):
            ready = next((name for name in bones if name not in numbers and parents.get(name) in numbers), "")
            if not ready:
                lost = next(name for name in bones if name not in numbers)
                self.lines.fail(f"the hierarchy does not connect {lost} with the root")
            numbers[ready] = len(numbers)
        del numbers["root"]
        ends = {"root": 0} | numbers
        return tuple(bones[name] for name in numbers), tuple(ends[parents[name]] for name in numbers)

    def blocks(self, section: str) -> Iterator[list[Entry]]:
        """The lines between each ``begin`` and its ``end``."""
        block: list[Entry] | None = None
        for number, words in self.sections[section]:
            word = words[0].lower()
            if word in ("begin", "end") and (block is None) == (word == "end"):
                self.fail((number, words), f"{word} without its {'end' if word == 'begin' else 'begin'}")
            if word == "begin":
                block = []
            elif block is None:
                self.fail((number, words), f"{words[0][:40]!r} is outside begin and end")
            elif word != "end":
                block.append((number, words))
            elif block:
                yield block
                block = None
            else:
                self.fail((number, words), "nothing between begin and end")
        if block is not None:
            self.lines.fail(f"the last begin of {section} has no end")

    def settings(self, section: str, required: tuple[str, ...]) -> dict[str, Entry]:
        """The lines of a section by their first word."""
        found = {words[0].lower(): (number, words) for number, words in self.sections[section]}
        missing = next((name for name in required if name not in found), "")
        if missing:
            self.lines.fail(f"the section {section} has no {missing}")
        return found

    def order(self, entry: Entry, words: Sequence[str]) -> str:
        """The order of rotations, such as XYZ."""
        text = "".join(words).upper()
        if sorted(text) != sorted(AXES):
            self.fail(entry, f"the order of rotations must be X, Y and Z in any order, not {text[:40]!r}")
        return text

    def numbers(self, entry: Entry, count: int, what: str) -> list[float]:
        """The numbers after the first word of a line."""
        self.lines.number = entry[0]
        return self.lines.numbers(entry[1][1:], count, what)

    def fail(self, entry: Entry, what: str) -> NoReturn:
        self.lines.number = entry[0]
        self.lines.fail(what)


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = values
    return x, y, z
