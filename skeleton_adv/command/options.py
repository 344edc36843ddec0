"""The folders of options: which groups and options they contain, read within limits before Hydra reads them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from skeleton_adv.core.errors import SettingError

_PACKAGE = Path(__file__).parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one where PyYAML was built with it
MAX_ENTRIES = 100_000  # files and folders that a folder of options may hold, YAML or not
MAX_FILES = 1_000  # YAML files
MAX_BYTES = 100_000  # of one file
MAX_DEPTH = 50
MAX_NODES = 10_000  # of one file, those that its aliases repeat included


def files(folder: Path) -> Iterator[Path]:
    """The YAML files below ``folder``, sorted; raises ``SettingError`` if there are too many to be options."""
    found: list[Path] = []
    entries = 0
    for place, folders, names in os.walk(folder):
        entries += len(folders) + len(names)
        found += [Path(place) / name for name in names if name.endswith(".yaml")]
        if entries > MAX_ENTRIES or len(found) > MAX_FILES:
            raise SettingError(f"--config-dir {folder} contains too many files: use a folder of options only")
    yield from sorted(path for path in found if path.is_file())


def option_files(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Group, option and file of every option below ``folder``; recipes are listed by ``recipes`` instead."""
    for path in files(folder):
        group, *rest = path.relative_to(folder).with_suffix("").parts
        if rest and not (group == "recipe" and len(rest) == 1):
            yield group, "/".join(rest), path


def title(path: Path) -> str:
    """The first line of an option's file."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return next((line for line in lines if not line.startswith("# @")), "").removeprefix("# ")


def about(path: Path) -> dict[str, str]:
    """The facts below the title of an option's file: lines such as ``# reference: arXiv 2005.07151``."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        key, colon, value = line.removeprefix("# ").partition(": ")
        if not line.startswith("#"):
            break
        if colon and line != f"# {title(path)}":
            found[key] = value.strip()
    return found


def check_folder(folder: Path) -> None:
    """Raise ``SettingError`` naming the file if one below ``folder`` is not YAML in UTF-8 of moderate size."""
    for path in files(folder):
        try:
            check_text(read(path))
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise SettingError(f"{path} cannot be read: {_reason(error)}") from None


def read(path: Path) -> str:
    """The text of a YAML file; raises ``ValueError`` if it is too large or not UTF-8."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
    return content.decode("utf-8-sig")


def check_text(text: str) -> None:
    """Raise ``ValueError`` or ``YAMLError`` unless ``text`` is one YAML document within the bounds.

    Only events are read, and the nodes that an alias repeats are counted without being built, so nested aliases
    cost nothing.
    """
    sizes: dict[str, int] = {}  # nodes below each anchor
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and number of nodes before it
    nodes = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        documents += isinstance(event, yaml.DocumentStartEvent)
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, nodes))
            nodes += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            sizes |= {anchor: nodes - before} if anchor else {}
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            sizes |= {event.anchor: 1} if event.anchor else {}
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"line {event.start_mark.line + 1}: *{event.anchor} refers to no complete anchor")
            nodes += sizes[event.anchor]
        if len(open_nodes) > MAX_DEPTH or nodes > MAX_NODES:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels or has more than {MAX_NODES:,} nodes")
    if documents > 1:
        raise ValueError("it contains several documents: keep one per file")


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is not UTF-8"
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"line {mark.line + 1}: {getattr(error, 'problem', None) or 'not YAML'}"
    return " ".join(str(error).split())
