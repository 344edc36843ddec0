"""Training on adversarial clips that a finished attack saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_adv.core.batch import WHOLE
from skeleton_adv.core.errors import RunError, SettingError
from skeleton_adv.data.clips import Dataset, Prepared, RawClip, hashed_order
from skeleton_adv.runs.clips import SavedClips, read_row
from skeleton_adv.runs.load import Run
from skeleton_adv.runs.saved import run_with_clips
from skeleton_adv.train.training import Training


@dataclass(frozen=True)
class Saved(Training):
    """Training by the recipe on saved adversarial clips, in place of the clean training clips.

    Anonymised clips hide a subject from a network that has never seen such clips; a network that is trained on them
    shows whether they hide the subject from one that has. The saved clips are at their T frames, so that the recipe
    crops and resamples a crop of them. The network is tested on clean clips.

    - ``clips``: the folder of a finished attack on all training clips (``split=train runtime.save_clips=true``), or
      one above it, in which the attack with the most saved training clips is chosen

    The identity of the weights contains that of the attack and a digest of its clips. Raises ``RunError`` if the
    attack was on other clips, or on some of the training clips only, and ``SettingError`` for clips as recorded.
    """

    clips: str
    name = "saved"

    @property
    def tag(self) -> str:
        return f"saved_{self._run.attack}_{self._digest[:8]}"

    def identity(self) -> dict[str, Any]:
        own = {"attack": self._run.attack, "run": self._run.identity, "clips": self._digest}
        return {"training": {"name": self.tag, "settings": own}}

    def learns_from(self, dataset: Dataset, prepared: Prepared, settings: Mapping[str, Any]) -> Prepared:
        if dataset.num_frames >= WHOLE:
            raise SettingError(
                f"training=saved crops clips of fewer frames than dataset.num_frames={dataset.num_frames}: lower it"
            )
        made = {"prepared": self._run.prepared, **self._run.settings.get("dataset", {})}
        for name, value in {"prepared": prepared.digest, **settings}.items():
            if made.get(name) != value:
                what = name if name == "prepared" else f"dataset.{name}"
                raise RunError(f"training.clips={self._folder} was made with {what}={made.get(name)}, not {value}")
        numbers, kept = hashed_order(prepared.clips, "train"), self._saved.locations("x_adv", "mask")
        missing = [number for number in numbers if number not in kept]
        if missing:
            raise RunError(
                f"training.clips={self._folder} contains {len(numbers) - len(missing)} of {len(numbers)} training "
                "clips: run its command again without runtime.limit"
            )
        return _Learnt(prepared, self._saved, numbers)

    @property
    def _folder(self) -> Path:
        assert self._run.folder is not None  # it was loaded from its folder
        return self._run.folder

    @cached_property
    def _run(self) -> Run:
        return run_with_clips(Path(self.clips).expanduser(), "training.clips", "train")

    @cached_property
    def _saved(self) -> SavedClips:
        return SavedClips(self._folder)

    @cached_property
    def _digest(self) -> str:
        return self._saved.digest()


class _Learnt:
    """Prepared clips whose training clips are the saved ones; numbers, labels and test clips are the same."""

    def __init__(self, prepared: Prepared, saved: SavedClips, numbers: list[int]) -> None:
        self.clips, self.digest, self.skipped = prepared.clips, prepared.digest, prepared.skipped
        kept = saved.locations("x_adv", "mask")
        self._places = {number: kept[number] for number in numbers}
        self._prepared = prepared

    def raw(self, index: int) -> RawClip:
        """The clip with this number; raises ``RunError`` if its attack diverged."""
        if index not in self._places:
            return self._prepared.raw(index)
        x_adv, mask = (read_row(self._places[index], name) for name in ("x_adv", "mask"))  # (C, T, V, M), (1, T, V, M)
        if not np.isfinite(x_adv).all():
            raise RunError(
                f"{self._places[index][0]}: the attack on clip {self.clips[index].name} diverged: no network can be "
                "trained on it; choose another attack"
            )
        return RawClip(np.ascontiguousarray(x_adv.transpose(1, 0, 2, 3)), mask[0].astype(bool))
