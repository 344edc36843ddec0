"""The files of a dataset: their list, and facts that change when a file changes."""

import re
from pathlib import Path

from skeleton_adv.core.errors import DataError


def named_files(root: str, name: re.Pattern[str], like: str) -> list[tuple[Path, tuple[int, ...]]]:
    """``matched_files`` whose names contain numbers."""
    return [(path, tuple(map(int, groups))) for path, groups in matched_files(root, name, like)]


def matched_files(root: str, name: re.Pattern[str], like: str) -> list[tuple[Path, tuple[str, ...]]]:
    """The sorted files of the folder ``root`` with the suffix of ``like``, each with the parts of its name.

    ``name`` is the pattern of file names, with one group per part; ``like`` is an example of a name.
    Raises ``DataError`` if the folder does not exist or contains no such file, or if a name does not match.
    """
    folder, suffix = Path(root).expanduser(), Path(like).suffix
    if not folder.is_dir():
        raise DataError(
            f"dataset.root={root} is not a folder: put the dataset's files ({like}, ...) there, "
            "or set dataset.root=... to their folder"
        )
    paths = sorted(path for path in folder.iterdir() if path.suffix == suffix)
    if not paths:
        raise DataError(f"dataset.root={root} contains no {suffix} file, such as {like}")
    files = []
    for path in paths:
        match = name.fullmatch(path.name)
        if not match:
            raise DataError(
                f"{path}: the name does not have the form of {like}, or a number in it is out of range: "
                "rename the file or remove it from the folder"
            )
        files.append((path, match.groups()))
    return files


def file_facts(path: Path) -> tuple[str, int, int]:
    """The name, size and modification time (in ns) of a file; raises ``DataError`` if it is not accessible."""
    try:
        stat = path.stat()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"{path} is not accessible ({reason}): restore the file, or remove it from the folder and its lists"
        ) from None
    return path.name, stat.st_size, stat.st_mtime_ns
