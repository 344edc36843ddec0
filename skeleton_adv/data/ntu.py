"""NTU RGB+D: a folder of official ``.skeleton`` files."""

import re
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.ranges import Range
from skeleton_adv.core.skeleton import NTU25
from skeleton_adv.data.dataset import LARGEST, Clip, Dataset, PaperSet, RawClip, Split, Take, outside
from skeleton_adv.data.decimals import decimals
from skeleton_adv.data.files import named_files
from skeleton_adv.data.ntu_classes import NTU60_CLASSES, NTU120_CLASSES

FILE_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A((?!000)0\d\d|1[01]\d|120)\.skeleton")
Protocol = Literal["cs", "cv", "xsub120", "xset120"]
NAMES: dict[Protocol, str] = {"cs": "ntu60_cs", "cv": "ntu60_cv", "xsub120": "ntu120_xsub", "xset120": "ntu120_xset"}
TRAIN_SUBJECTS = frozenset((1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38))
TRAIN_SUBJECTS_120 = TRAIN_SUBJECTS | frozenset(
    (45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86, 89)
    + (91, 92, 93, 94, 95, 97, 98, 100, 103)
)
TRAIN_CAMERAS = frozenset((2, 3))
SETUPS_60 = 17  # NTU RGB+D 120 has 32
LISTED_BODIES = 4  # a frame lists up to six; the public pipelines read the first four
NEWLINE, RETURN, SPACE = (ord(character) for character in "\n\r ")
MISSING = Path(__file__).parent / "ntu_missing_skeletons.txt"


@dataclass(frozen=True)
class NTU(Dataset):
    """NTU RGB+D (Shahroudy et al., arXiv 1604.02808) and NTU RGB+D 120 (Liu et al., arXiv 1905.04757): 25 joints.

    ``root`` contains the files ``S...C...P...R...A....skeleton``, 56,880 or 114,480 of them; both sets
    may be in one folder. The 302 and 535 broken samples are left out, as in all studies.
    ``protocol``: ``cs`` trains on 20 of 40 subjects, ``cv`` on cameras 2 and 3, ``xsub120`` on 53 of
    106 subjects and ``xset120`` on even-numbered setups. Of the first four bodies listed in a frame, the
    ``num_persons`` bodies that move most are kept, in listed order. All victims receive the same bodies,
    because body selection precedes the attack space; HCN-pytorch uses the first two
    listed bodies, which may be others if a clip lists three or more. Raises ``DataError`` naming the
    file and the line.
    """

    root: str
    protocol: Protocol = "cs"
    num_actions: Annotated[int, Range("[2, 120]")] = 60
    _: KW_ONLY
    num_persons: Annotated[int, Range("[1, 4]")] = 2

    skeleton = NTU25

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_actions > len(self.all_classes):
            raise SettingError(f"dataset.num_actions={self.num_actions}: {self.name} has {len(self.all_classes)}")

    @property
    def name(self) -> str:
        return NAMES[self.protocol]

    @property
    def stand_in(self) -> bool:
        return self.protocol.endswith("120")  # the paper uses the first sixty actions

    @property
    def stands_for(self) -> PaperSet:
        return "NTU RGB+D, cross-view" if self.protocol == "cv" else "NTU RGB+D, cross-subject"

    @property
    def all_classes(self) -> tuple[str, ...]:
        return NTU120_CLASSES if self.protocol.endswith("120") else NTU60_CLASSES

    def clips(self) -> tuple[Clip, ...]:
        missing = frozenset(MISSING.read_text().split())
        clips = []
        for path, (setup, camera, subject, _, action) in named_files(
            self.root, FILE_NAME, "S001C001P001R001A001.skeleton"
        ):
            wanted = action <= self.num_actions and (self.protocol.endswith("120") or setup <= SETUPS_60)
            if wanted and path.stem not in missing:
                clips.append(Clip(path.stem, action - 1, split_of(self.protocol, setup, camera, subject)))
        return tuple(clips)

    def take(self, clip: Clip) -> Take | None:
        return take_of(clip.name)

    def path(self, clip: Clip) -> Path:
        return Path(self.root).expanduser() / f"{clip.name}.skeleton"

    def read(self, clip: Clip) -> RawClip:
        return select_bodies(read_skeleton_file(self.path(clip)), self.num_persons)


def take_of(name: str) -> Take | None:
    """The subject in an official name, and its half: repetitions with odd numbers train; None: another name."""
    numbers = FILE_NAME.fullmatch(f"{name}.skeleton")
    return Take(f"P{numbers[3]}", "train" if int(numbers[4]) % 2 else "test") if numbers else None


def split_of(protocol: Protocol, setup: int, camera: int, subject: int) -> Split:
    """The official split of the samples with these numbers in their names."""
    trains = {
        "cs": subject in TRAIN_SUBJECTS,
        "cv": camera in TRAIN_CAMERAS,
        "xsub120": subject in TRAIN_SUBJECTS_120,
        "xset120": setup % 2 == 0,
    }[protocol]
    return "train" if trains else "test"


def read_skeleton_file(path: Path) -> RawClip:
    """The bodies in one file in listed order, (F, 3, 25, 4) in metres; bodies that are not listed are 0.

    A file as the recorder writes it is read at once by NumPy; any other is read line by line, so that messages name
    the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: not a readable text file ({error})") from None
    found = _at_once(content)
    return _line_by_line(path, content) if found is None else found


def _at_once(content: bytes) -> RawClip | None:
    """The bodies of a file, read without a loop over its joints; None if anything about the file is unusual.

    It is unusual if a line is not where the counts of frames and bodies place it, if a body has not 25 joints, or if
    numbers are not separated by one space.
    """
    text = np.frombuffer(content, np.uint8)
    breaks = np.flatnonzero(text == NEWLINE)
    returns = np.count_nonzero(text == RETURN)
    if not len(text) or text.max() > 126 or np.count_nonzero(text < SPACE) != len(breaks) + returns:
        return None
    if returns and (returns != len(breaks) or not (text[breaks - 1] == RETURN).all()):
        return None
    starts = np.concatenate([[0], breaks + 1])
    ends = np.concatenate([breaks - (1 if returns else 0), [len(text)]])
    if starts[-1] == len(text):  # the last line is complete
        starts, ends = starts[:-1], ends[:-1]
    layout = _layout(text, starts, ends)
    if layout is None:
        return None
    count, frame, body, first = layout
    if not len(first) or not _all_25(text, starts[first - 1], ends[first - 1]):
        return None
    joints = (first[:, None] + np.arange(NTU25.num_joints)).ravel()
    try:
        values = _coordinates(text, starts[joints], ends[joints])
    except (ValueError, IndexError):
        return None
    values = values.reshape(len(first), NTU25.num_joints, 3)
    if outside(values, "m").any():
        return None
    frames = np.zeros((count, 3, NTU25.num_joints, LISTED_BODIES), dtype=np.float32)
    exists = np.zeros((count, NTU25.num_joints, LISTED_BODIES), dtype=bool)
    kept = body < LISTED_BODIES
    frames[frame[kept], :, :, body[kept]] = values[kept].transpose(0, 2, 1)
    exists[frame[kept], :, body[kept]] = True
    return RawClip(frames, exists)


def _layout(
    text: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray] | None:
    """The number of frames, and for each body its frame, its place in the frame, and the line of its first joint.

    Only the first line and the first line of a frame, the number of its bodies, may have less than two characters;
    they are where the numbers of bodies before them say. None if they are not.
    """
    first = text[starts[0] : ends[0]].tobytes()
    count, step = int(first) if first.isdigit() and len(first) < 10 else 0, 2 + NTU25.num_joints
    heads = np.flatnonzero(ends[1:] - starts[1:] < 2)[: max(count, 0)] + 1
    if count < 2 or len(heads) < count or (ends[heads] == starts[heads]).any():
        return None
    bodies = text[starts[heads]].astype(np.int64) - ord("0")
    after = 1 + np.cumsum(1 + step * bodies)  # the line after each frame
    if (
        bodies.min() < 0
        or bodies.max() > 9
        or heads[0] != 1
        or (heads[1:] != after[:-1]).any()
        or after[-1] > len(starts)
    ):
        return None
    frames = np.repeat(np.arange(count), bodies)
    places = np.arange(len(frames)) - (np.cumsum(bodies) - bodies)[frames]
    return count, frames, places, 2 + frames + step * np.arange(len(frames)) + 2


def _all_25(text: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> bool:
    """Whether each of these lines is the number of a body's joints, 25."""
    return bool(
        (ends - starts == 2).all() and (text[starts] == ord("2")).all() and (text[starts + 1] == ord("5")).all()
    )


def _coordinates(text: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The first three numbers (N, 3) of these lines; raises ``ValueError`` if there are fewer."""
    spaces = np.flatnonzero(text == SPACE)
    after = np.searchsorted(spaces, starts)
    spaces = np.concatenate([spaces, [len(text)] * 3])
    stops = np.minimum(np.stack([spaces[after], spaces[after + 1], spaces[after + 2]], axis=1), ends[:, None])
    begins = np.concatenate([starts[:, None], stops[:, :2] + 1], axis=1)
    if not (begins < stops).all():
        raise ValueError("a line has fewer than three numbers")
    return decimals(text, begins.ravel(), stops.ravel()).reshape(-1, 3)


def _line_by_line(path: Path, content: bytes) -> RawClip:
    """The bodies of a file, read line by line; raises ``DataError`` naming the line of anything wrong."""
    try:
        lines = content.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a readable text file ({error})") from None
    cursor = _Cursor(path, lines)
    count = cursor.number("the number of frames")
    if not 2 <= count <= len(lines):
        raise DataError(f"{path}:1: {count} frames in a file of {len(lines)} lines")
    frames = np.zeros((count, 3, NTU25.num_joints, LISTED_BODIES), dtype=np.float32)
    exists = np.zeros((count, NTU25.num_joints, LISTED_BODIES), dtype=bool)
    for frame in range(count):
        for body in range(cursor.number("the number of bodies")):
            cursor.skip("a body's facts")
            joints = cursor.joints()
            if body < LISTED_BODIES:
                frames[frame, :, :, body] = joints.T
                exists[frame, :, body] = True
    if not exists.any():
        raise DataError(f"{path}: no frame lists a body")
    return RawClip(frames, exists)


def select_bodies(listed: RawClip, num_persons: int) -> RawClip:
    """The ``num_persons`` bodies that move most, in listed order, followed by absent bodies if there are fewer.

    As in 2s-AGCN's pipeline, bodies are ranked by their energy: the standard deviation of their coordinates,
    summed over axes. Frames without a body are kept.
    """
    bodies = range(listed.frames.shape[-1])
    energies = [energy(listed.frames[..., body], listed.exists[..., body]) for body in bodies]
    ranked = sorted(bodies, key=lambda body: (-energies[body], body))
    kept = sorted(ranked[:num_persons])
    raw = RawClip(np.ascontiguousarray(listed.frames[..., kept]), np.ascontiguousarray(listed.exists[..., kept]))
    return raw.padded(num_persons) if len(kept) < num_persons else raw


def energy(frames: np.ndarray, exists: np.ndarray) -> float:
    """Standard deviation of the coordinates (F, 3, V) of a body over its frames and joints, summed over axes.

    It is 0 for a body that is absent from all frames.
    """
    present = exists.any(axis=1)
    return float(frames[present].std(axis=(0, 2)).sum()) if present.any() else 0.0


def write_skeleton_file(path: Path, joints: np.ndarray, listed: np.ndarray) -> None:
    """Write bodies (F, P, 25, 3) in metres as a ``.skeleton`` file; a frame lists those that are ``listed`` (F, P)."""
    lines = [str(len(joints))]
    for bodies, present in zip(joints, listed, strict=True):
        lines.append(str(present.sum()))
        for body in present.nonzero()[0]:
            # The number, edges, hands, lean and tracking of the body; then each joint with its position in the images.
            lines += [f"{72057594037931000 + body} 0 1 1 1 1 0 0 0 2", str(NTU25.num_joints)]
            lines += [f"{x:.7f} {y:.7f} {z:.7f} 0 0 0 0 0 0 0 1 2" for x, y, z in bodies[body]]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


class _Cursor:
    """The lines of a file from top to bottom; every error names the line."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self._path, self._lines, self._next = path, lines, 0

    def skip(self, what: str) -> str:
        if self._next >= len(self._lines):
            raise DataError(f"{self._path}:{self._next}: the file ends before {what}")
        self._next += 1
        return self._lines[self._next - 1]

    def number(self, what: str) -> int:
        line = self.skip(what)
        if not line.strip().isdigit() or len(line) > 20:  # int() refuses a number of thousands of digits
            raise DataError(f"{self._path}:{self._next}: expected {what}, found {line[:40]!r}")
        return int(line)

    def joints(self) -> np.ndarray:
        """(25, 3) coordinates of one body in metres."""
        count = self.number("the number of joints")
        if count != NTU25.num_joints:
            raise DataError(f"{self._path}:{self._next}: {count} joints, not {NTU25.num_joints}")
        joints = np.empty((count, 3))
        for joint in range(count):
            line = self.skip(f"joint {joint + 1} of {count}")
            try:
                x, y, z = map(float, line.split(maxsplit=3)[:3])
            except ValueError:
                raise DataError(f"{self._path}:{self._next}: not the coordinates of a joint: {line[:40]!r}") from None
            joints[joint] = x, y, z
        wrong = outside(joints, "m").any(axis=1)
        if wrong.any():
            number = self._next - count + int(wrong.argmax()) + 1
            raise DataError(f"{self._path}:{number}: a coordinate is not finite or exceeds {LARGEST['m']:g} m")
        return joints
