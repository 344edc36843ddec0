"""What the prepared formats of NTU RGB+D have in common: settings, labels, and padded arrays as clips."""

import re
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.ranges import Range
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.data.dataset import LARGEST, Clip, Dataset, PaperSet, RawClip, Split, Take, Unit, outside
from skeleton_adv.data.ntu import FILE_NAME, NAMES, Protocol, select_bodies, split_of, take_of
from skeleton_adv.data.ntu_classes import NTU60_CLASSES, NTU120_CLASSES


@dataclass(frozen=True)
class PreparedNTU(Dataset):
    """NTU RGB+D or NTU RGB+D 120 in files that another project has prepared; see ``data.ntu`` for the sets.

    ``root`` is the file, or the folder of the files, of one ``protocol``, which is as in ``data.ntu``.
    """

    root: str
    protocol: Protocol = "cs"
    num_actions: Annotated[int, Range("[2, 120]")] = 60
    _: KW_ONLY
    num_persons: Annotated[int, Range("[1, 4]")] = 2

    form: ClassVar[str]  # the end of the dataset's name
    protocols: ClassVar[tuple[Protocol, ...]] = ("cs", "cv", "xsub120", "xset120")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.protocol not in self.protocols:
            raise SettingError(f"dataset.protocol={self.protocol}: this format has {', '.join(self.protocols)} only")
        if self.num_actions > len(self.all_classes):
            raise SettingError(f"dataset.num_actions={self.num_actions}: {self.name} has {len(self.all_classes)}")

    @property
    def name(self) -> str:
        return f"{NAMES[self.protocol]}_{self.form}"

    @property
    def skeleton(self) -> Skeleton:
        return NTU25

    @property
    def stand_in(self) -> bool:
        return self.protocol.endswith("120")  # the paper uses the first sixty actions

    @property
    def stands_for(self) -> PaperSet | None:
        return "NTU RGB+D, cross-view" if self.protocol == "cv" else "NTU RGB+D, cross-subject"

    @property
    def all_classes(self) -> tuple[str, ...]:
        return NTU120_CLASSES if self.protocol.endswith("120") else NTU60_CLASSES

    def take(self, clip: Clip) -> Take | None:
        return take_of(clip.name)

    def official(self, clip: Clip, where: str) -> Clip:
        """The clip; raises ``DataError`` naming ``where`` if its official name contradicts its label or split."""
        name, label, split = clip.name, clip.label, clip.split
        numbers = FILE_NAME.fullmatch(f"{name}.skeleton")
        if numbers:
            setup, camera, subject, _, action = map(int, numbers.groups())
            if action != label + 1:
                raise DataError(f"{where}: {name} has label {label}, but it is of action {action}: correct the label")
            if split_of(self.protocol, setup, camera, subject) != split:
                raise DataError(
                    f"{where}: {name} is not a {split} clip of protocol {self.protocol}: set dataset.protocol=... to "
                    "the files' protocol"
                )
        return clip


def the_file(root: str, like: str) -> Path:
    """The file ``root``; raises ``DataError`` if it is not a file."""
    path = Path(root).expanduser()
    if not path.is_file():
        raise DataError(f"dataset.root={root} is not a file: set dataset.root=... to a file such as {like}")
    return path


def check_label(label: Any, num_classes: int, where: str) -> int:
    """A label as a plain number; raises ``DataError`` naming ``where`` unless it is one of the classes."""
    if not isinstance(label, int | np.integer) or isinstance(label, bool) or not 0 <= label < num_classes:
        raise DataError(f"{where}: the label is {label!r:.40}, not a whole number of 0 to {num_classes - 1}")
    return int(label)


def check_name(name: Any, where: str) -> str:
    """The name of a clip; raises ``DataError`` naming ``where`` unless it is one line without folders."""
    if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable() or "/" in name:
        raise DataError(f"{where}: the clip's name is {name!r:.40}, not one line of text without '/'")
    return name


def labels_of(values: np.ndarray, num_classes: int, where: str) -> list[int]:
    """Labels from an array of labels (N,) or of ones at the labels (N, K); raises ``DataError`` naming the entry."""
    if values.ndim == 2:
        ones = ((values == 1).sum(axis=1) == 1) & ((values != 0).sum(axis=1) == 1)
        if not ones.all():
            raise DataError(f"{where}: entry {int(ones.argmin())} is not one 1 among zeros, which gives the label")
        values = values.argmax(axis=1)
    if values.ndim != 1 or (values.dtype.kind == "f" and not (values == np.floor(values)).all()):
        raise DataError(f"{where}: contains {values.dtype} {values.shape}, not a label per clip")
    wrong = ~((values >= 0) & (values < num_classes))
    if wrong.any():
        entry = int(wrong.argmax())
        raise DataError(f"{where}: entry {entry} has label {values[entry]}, not 0 to {num_classes - 1}")
    return [int(label) for label in values]


def checked(frames: np.ndarray, unit: Unit, where: str) -> np.ndarray:
    """Frames (F, C, V, M) as float32; raises ``DataError`` naming ``where`` and the frame of a wrong value."""
    if not (frames.min() >= -LARGEST[unit] and frames.max() <= LARGEST[unit]):  # or NaN
        wrong = outside(frames, unit).any(axis=(1, 2, 3))
        raise DataError(
            f"{where}: frame {int(wrong.argmax())} (counted from 0) contains a value that is not finite or exceeds "
            f"{LARGEST[unit]:g} {unit}"
        )
    return np.ascontiguousarray(frames, dtype=np.float32)


def padded_clip(frames: np.ndarray, num_persons: int, where: str) -> RawClip:
    """The clip of frames (F, 3, V, M) in metres, without the empty frames that fill the array after its end.

    A person whose joints are all exactly 0 in a frame is absent from it. A second person who equals the first one
    in every frame is a copy, as in CTR-GCN's files of NTU RGB+D 120, and counts as absent. The ``num_persons`` bodies
    that move most are kept. Raises ``DataError`` naming ``where`` if a value is not finite or fewer than two frames
    remain.
    """
    frames = checked(frames[: last_frame(frames, where)], "m", where)
    if frames.shape[-1] == 2 and np.array_equal(frames[..., 0], frames[..., 1]):
        frames[..., 1] = 0
    present = (frames != 0).any(axis=(1, 2))  # (F, M)
    return kept_bodies(frames, present, len(frames), num_persons)


def last_frame(present: np.ndarray, where: str) -> int:
    """The number of frames up to the last in which any of ``present`` (F, ...) is true, not 0.

    Raises ``DataError`` naming ``where`` if there are fewer than two.
    """
    filled = np.flatnonzero(present.any(axis=tuple(range(1, present.ndim))))
    if not len(filled) or filled[-1] < 1:
        raise DataError(f"{where}: {len(filled)} frames contain a body, but a clip requires two")
    return int(filled[-1]) + 1


def kept_bodies(frames: np.ndarray, present: np.ndarray, length: int, num_persons: int) -> RawClip:
    """The first ``length`` frames of a clip whose bodies are ``present`` (F, M), with ``num_persons`` bodies."""
    exists = np.repeat(present[:length, None], frames.shape[2], axis=1)
    raw = RawClip(frames[:length], exists)
    return select_bodies(raw, num_persons) if frames.shape[-1] > num_persons else raw.padded(num_persons)


def class_names(path: str | None, count: int) -> tuple[str, ...]:
    """The names of ``count`` classes in a file with one per line; without a file, ``class_0``, ``class_1``, ..."""
    if path is None:
        return tuple(f"class_{number}" for number in range(count))
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"dataset.class_names={path}: not a readable text file ({error})") from None
    names = [line.strip() for line in lines if line.strip()]
    if len(names) < count or len(set(names)) < len(names):
        raise DataError(f"dataset.class_names={path}: {len(set(names))} different names for {count} classes")
    return tuple(names)


def numbered(prefix: str, count: int) -> list[str]:
    """Names of clips that a file lists without names."""
    return [f"{prefix}_{number:05}" for number in range(count)]


def names_in_order(path: Path, protocol: Protocol) -> dict[Split, list[str]] | None:
    """The names of the rows of CTR-GCN's arrays of NTU RGB+D, from the list of names that its preparation writes.

    ``path`` is ``skes_available_name.txt``. ``cs``: subject by subject, each in the order of the list;
    ``cv``: camera 2, then camera 3; camera 1. None if there is no such file or the protocol has no known order.
    Raises ``DataError`` naming the line of a name that is not NTU's.
    """
    if protocol not in ("cs", "cv") or not path.is_file():
        return None
    names: dict[Split, dict[int, list[str]]] = {"train": {}, "test": {}}
    for number, line in enumerate(_lines(path), start=1):
        found = FILE_NAME.fullmatch(f"{line}.skeleton")
        if not found:
            raise DataError(f"{path}:{number}: {line!r:.40} is not the name of a sample of NTU RGB+D")
        setup, camera, subject, _, _ = map(int, found.groups())
        group = subject if protocol == "cs" else camera
        names[split_of(protocol, setup, camera, subject)].setdefault(group, []).append(line)
    return {split: [name for group in sorted(groups) for name in groups[group]] for split, groups in names.items()}


def _lines(path: Path) -> Sequence[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable text file ({error})") from None


SUFFIX = re.compile(r"\.(?:skeleton|json)$")  # of names in label files
