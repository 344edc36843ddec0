"""NTU RGB+D in the pickles of pyskl: ``ntu60_3danno.pkl`` and ``ntu120_3danno.pkl``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from skeleton_adv.core.errors import DataError
from skeleton_adv.data.annotations import Annotation, one_by_one, read_annotations
from skeleton_adv.data.dataset import Clip, RawClip, Split
from skeleton_adv.data.ntu import Protocol
from skeleton_adv.data.prepared import PreparedNTU, checked, kept_bodies, last_frame, the_file

SPLITS: dict[Protocol, dict[Split, str]] = {
    "cs": {"train": "xsub_train", "test": "xsub_val"},
    "cv": {"train": "xview_train", "test": "xview_val"},
    "xsub120": {"train": "xsub_train", "test": "xsub_val"},
    "xset120": {"train": "xset_train", "test": "xset_val"},
}


@dataclass(frozen=True)
class NTUPyskl(PreparedNTU):
    """The 3-D annotations of pyskl (kennymckormick/pyskl, arXiv 2205.09443): the most complete prepared format.

    ``root`` is the file, which has the splits of both protocols. The clips are in metres in the camera's coordinates,
    not moved, in half precision: steps of 2 mm at a distance of 3 m. Bodies are selected
    and joined as in CTR-GCN, and empty frames at both ends are cut. Names are official. The file is loaded
    whole while it is prepared, by one process. Raises ``DataError`` naming the file and the annotation.
    """

    form = "pyskl"

    def sources(self) -> tuple[Path, ...]:
        return (the_file(self.root, "ntu60_3danno.pkl"),)

    def clips(self) -> tuple[Clip, ...]:
        return tuple(
            self.official(one.clip, one.where) for one in self._found.values() if one.clip.label < self.num_actions
        )

    def one_pass(self, clips: Sequence[Clip]) -> Iterator[RawClip | DataError]:
        return one_by_one(self, clips, ("_found",))

    def read(self, clip: Clip) -> RawClip:
        found = self._found[clip.name]
        keypoints = found.array("keypoint", (None, found.count("total_frames"), 25, 3))
        frames = checked(keypoints.transpose(1, 3, 2, 0), "m", found.where)
        present = (frames != 0).any(axis=(1, 2))
        last_frame(present, found.where)
        return kept_bodies(frames, present, len(frames), self.num_persons)

    @cached_property
    def _found(self) -> dict[str, Annotation]:
        return read_annotations(self.sources()[0], SPLITS[self.protocol], len(self.all_classes))
