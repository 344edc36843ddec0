"""The body of a user's folder: ``skeleton.yaml``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import yaml

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.core.skeleton import SKELETONS, Skeleton
from skeleton_adv.data.arrays import METRES, ArrayUnit
from skeleton_adv.data.folder_labels import text_of

BODY = ("names", "parents", "angles", "center", "name")  # instead of ``like``
KEYS = ("like", *BODY, "unit", "image_size", "fps", "coordinates", "score")
MOST_BYTES = 100_000
MOST_DEPTH = 5  # a list of triples has three
FLOORS = (1e-3, 1e-3)  # of lengths and speeds in an image, as for Kinetics


@dataclass(frozen=True)
class About:
    """What ``skeleton.yaml`` says."""

    skeleton: Skeleton
    unit: ArrayUnit
    image_size: tuple[float, float] | None
    fps: float


def read_about(path: Path) -> About:
    """The body, unit and rate of a folder's clips.

    - ``like``: the name of a known skeleton; or ``names`` of joints and their ``parents``, by name or number from 0
      (the root's is itself or null), and, if wanted, ``angles`` (triples of joints; left out: wherever two bones
      meet), ``center`` (the joint that networks centre on; left out: the root) and ``name``;
    - ``unit``: m, cm, mm, px or image (fractions of it from its middle, y up);
    - ``image_size``: [width, height] of the image in pixels, with ``unit: px``;
    - ``fps``: frames per second;
    - ``coordinates``: 2 or 3; left out: 3 for lengths, 2 in an image;
    - ``score``: whether the last channel is a detector's score; left out: as in ``like``, otherwise false.

    Raises ``DataError`` in one line with file and line.
    """
    return _Sheet(path).about()


class _Sheet:
    """The entries of one file; every error names the line of its entry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content, self.lines = _entries(path)

    def about(self) -> About:
        for key in self.content:
            if key not in KEYS:
                raise self.wrong(key, f"unknown key {key!r}: {nearest(key, [*KEYS])}")
        for key in ("unit", "fps"):
            if key not in self.content:
                raise DataError(f"{self.path}: {key} is missing: add {'unit: m' if key == 'unit' else 'fps: 30'}")
        unit, fps = self.content["unit"], self.content["fps"]
        if unit not in get_args(ArrayUnit):
            raise self.wrong("unit", f"unit {unit!r} is unknown: choose from {', '.join(get_args(ArrayUnit))}")
        if type(fps) not in (int, float) or not 0 < fps <= 10_000:
            raise self.wrong("fps", f"fps {fps!r} must be a number of frames per second, such as 30")
        return About(self.skeleton(unit in METRES), unit, self.image_size(unit), float(fps))

    def image_size(self, unit: str) -> tuple[float, float] | None:
        size = self.content.get("image_size")
        if unit != "px":
            if "image_size" in self.content:
                raise self.wrong("image_size", f"image_size has no effect with unit {unit}: remove it, or use unit: px")
            return None
        sides = size if isinstance(size, list) and len(size) == 2 else []
        if not sides or not all(type(side) in (int, float) and 1 <= side < 1e6 for side in sides):
            key = "image_size" if "image_size" in self.content else "unit"
            raise self.wrong(key, f"unit px with image_size {size!r}: add image_size: [width, height] in pixels")
        return float(sides[0]), float(sides[1])

    def skeleton(self, lengths: bool) -> Skeleton:
        """The body with the channels of its files."""
        if ("like" in self.content) == ("names" in self.content):
            raise DataError(f"{self.path}: give either like (a known skeleton) or names and parents")
        body = self.known() if "like" in self.content else self.own()
        coordinates = self.content.get("coordinates", 3 if lengths else 2)
        if coordinates not in (2, 3) or type(coordinates) is not int or (coordinates == 3 and not lengths):
            raise self.wrong("coordinates", f"coordinates {coordinates!r} must be {'2 or 3' if lengths else '2'}")
        score = self.content.get("score", bool(body.scores) and not lengths)
        if not isinstance(score, bool):
            raise self.wrong("score", f"score {score!r} must be true or false")
        like = SKELETONS.get(body.name)
        if like and (len(like.coords), bool(like.scores)) == (coordinates, score):
            return like
        bone, speed = FLOORS if not lengths else (Skeleton.length_floor, Skeleton.speed_floor)
        coords = tuple(range(coordinates))
        return replace(body, channels=coordinates + score, coords=coords, length_floor=bone, speed_floor=speed)

    def known(self) -> Skeleton:
        name = self.content["like"]
        for key in BODY:
            if key in self.content:
                raise self.wrong(key, f"{key} has no effect beside like: remove one")
        if not isinstance(name, str) or name not in SKELETONS:
            raise self.wrong("like", f"like {name!r} is no known skeleton: {nearest(str(name)[:50], [*SKELETONS])}")
        return SKELETONS[name]

    def own(self) -> Skeleton:
        names = self.content["names"]
        if not isinstance(names, list) or not all(isinstance(one, str) and not one.isdigit() for one in names):
            raise self.wrong("names", "names must be a list of names of joints, not numbers: quote names such as 'on'")
        parents = self.content.get("parents")
        if not isinstance(parents, list) or len(parents) != len(names):
            key = "parents" if "parents" in self.content else "names"
            raise self.wrong(key, f"parents must be a list of {len(names)} joints, one for each of names")
        found = [place if one is None else self.joint("parents", one) for place, one in enumerate(parents)]
        body = {"name": self.content.get("name", "own"), "joints": names, "parents": found}
        if "center" in self.content:
            body["center"] = self.joint("center", self.content["center"])
        angles = self.content.get("angles", [])
        if not isinstance(angles, list) or not all(isinstance(one, list) and len(one) == 3 for one in angles):
            raise self.wrong("angles", "angles must be a list of triples [joint, joint, joint]")
        body["angles"] = [[self.joint("angles", joint) for joint in triple] for triple in angles]
        try:
            return Skeleton.from_dict(body)
        except ValueError as error:
            raise self.wrong("name" if "name:" in str(error) else "parents", str(error)) from None

    def joint(self, key: str, one: Any) -> int:
        """The number of a joint that is given by name or number."""
        names: list[str] = self.content["names"]
        if isinstance(one, str) and one in names:
            return names.index(one)
        if type(one) is int and 0 <= one < len(names):
            return one
        hint = nearest(one, names) if isinstance(one, str) else f"numbers are 0 to {len(names) - 1}"
        raise self.wrong(key, f"{key} contains {str(one)[:50]!r}, which is no joint: {hint}")

    def wrong(self, key: str, text: str) -> DataError:
        line = f":{self.lines[key]}" if key in self.lines else ""
        return DataError(f"{self.path}{line}: {text}")


def _check_plain(path: Path, text: str) -> None:
    """Raise ``DataError`` if YAML contains an alias or is nested deeper than any description of a skeleton."""
    depth = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent):
            raise DataError(f"{path}: contains an alias (*...): write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            raise DataError(f"{path}:{event.start_mark.line + 1}: not YAML of a skeleton (it is nested too deeply)")


def _entries(path: Path) -> tuple[Mapping[str, Any], Mapping[str, int]]:
    """The entries of a YAML file and their lines; raises ``DataError`` unless it is one plain mapping."""
    text = text_of(path)
    if len(text) > MOST_BYTES:
        raise DataError(f"{path} is larger than {MOST_BYTES:,} characters: it must describe one skeleton")
    try:
        _check_plain(path, text)
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise DataError(f"{path}: must map keys to values: {', '.join(KEYS)}")
        content: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value)[:50], key_node.start_mark.line + 1
            if key in lines:
                raise DataError(f"{path}:{line}: {key} is also in line {lines[key]}: remove one")
            content[key], lines[key] = loader.construct_object(value_node, deep=True), line
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line_of = f":{mark.line + 1}" if mark is not None else ""
        raise DataError(f"{path}{line_of}: not YAML ({getattr(error, 'problem', None) or 'damaged'})") from None
    except (RecursionError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not YAML ({type(error).__name__})") from None
    return content, lines
