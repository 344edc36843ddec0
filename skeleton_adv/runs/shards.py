"""Shards: parts of one run by clips, made in any order and on any machine, and joined when they are read."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from skeleton_adv.core.errors import SettingError

FOLDER = re.compile(r"shard_(\d+)_of_(\d+)")
MOST = 10_000


class Shard(NamedTuple):
    """Part ``part`` of ``of``, counted from 1: every ``of``-th chunk of the run, with the clips that it has there."""

    part: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard that ``3/8`` names; raises ``SettingError`` if it names none."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        shard = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
        if not 1 <= shard.part <= shard.of <= MOST:
            raise SettingError(f"runtime.shard={text} must name a part, such as 3/8 for the third of eight parts")
        return shard

    @classmethod
    def of_folder(cls, folder: Path) -> "Shard | None":
        """The shard whose rows are in ``folder``; None if it is not the folder of a shard."""
        found = FOLDER.fullmatch(folder.name)
        return cls(int(found[1]), int(found[2])) if found else None

    @property
    def folder(self) -> str:
        """The name of its folder, inside the run's."""
        return f"shard_{self.part}_of_{self.of}"

    def of_order(self, order: Sequence[int], size: int) -> list[int]:
        """Its clips. They are whole chunks of the run, because rounding depends on a chunk, so rows do not change."""
        chunks = [order[start : start + size] for start in range(0, len(order), size)]
        return [number for chunk in chunks[self.part - 1 :: self.of] for number in chunk]


def with_shards(folders: Iterable[Path]) -> list[Path]:
    """These folders, and for the folder of a shard those of all shards of its run."""
    found: dict[Path, None] = {}
    for folder in folders:
        siblings = sorted(folder.parent.glob("shard_*_of_*")) if Shard.of_folder(folder) else [folder]
        found |= dict.fromkeys(siblings)
    return [*found]
