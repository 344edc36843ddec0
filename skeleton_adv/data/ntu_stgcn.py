"""NTU RGB+D in the arrays of ST-GCN: ``train_data.npy``, ``train_label.pkl``, and both for ``val``."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from skeleton_adv.data.dataset import Clip, RawClip, Split
from skeleton_adv.data.label_arrays import Half, array_files, entries, read_halves
from skeleton_adv.data.ntu import Protocol
from skeleton_adv.data.prepared import PreparedNTU, padded_clip

ARRAY = "data.npy"
SHAPE = (3, 300, 25, 2)  # C, T, V, M


@dataclass(frozen=True)
class NTUSTGCN(PreparedNTU):
    """The arrays that ST-GCN (yysijie/st-gcn, arXiv 1801.07455) makes, which HCN-pytorch makes too.

    ``root`` is the folder of one protocol. The clips are in metres in the camera's coordinates, as recorded,
    with the first two listed bodies of each frame; further bodies are lost, as are empty frames at
    the end of a clip and frames after the 300th. Names are official. Raises ``DataError`` naming the file and entry.
    """

    form = "stgcn"
    protocols: ClassVar[tuple[Protocol, ...]] = ("cs", "cv")

    def sources(self) -> tuple[Path, ...]:
        return array_files(self.root, ARRAY)

    def clips(self) -> tuple[Clip, ...]:
        return tuple(self.official(clip, where) for clip, where in entries(self._halves, self.num_actions))

    def read(self, clip: Clip) -> RawClip:
        frames, where = self._halves[clip.split].frames(clip.name)
        return padded_clip(frames, self.num_persons, where)

    @cached_property
    def _halves(self) -> dict[Split, Half]:
        return read_halves(self.root, ARRAY, SHAPE, len(self.all_classes))
