"""The state of a training, from which it resumes, and its history by epoch."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

Phase = Literal["select", "refit", "done"]


@dataclass(frozen=True)
class Epoch:
    """What one epoch of a training measures."""

    phase: str  # select: to choose the number of epochs, without the held-out clips; refit: on all training clips
    epoch: int  # from 1 in each phase
    loss: float  # mean over the epoch's clips
    lr: float
    held_out_accuracy: float | None = None  # after the epoch; None in the refit, which trains on the held-out clips
    held_out_clips: int | None = None


@dataclass
class TrainingState:
    """The state of a training after its last complete epoch, from which it resumes."""

    phase: Phase = "select"
    epoch: int = 0
    held_out: tuple[float, ...] = ()  # accuracy on the held-out clips after each epoch
    history: tuple[Epoch, ...] = ()  # without the epochs that an earlier version trained

    @property
    def chosen(self) -> int:
        """Epochs for the refit: the last maximum of the held-out accuracy, smoothed over five epochs."""
        if not self.held_out:
            return 0
        smooth = [float(np.mean(self.held_out[max(0, e - 4) : e + 1])) for e in range(len(self.held_out))]
        return max(range(len(smooth)), key=lambda e: (smooth[e], e)) + 1

    def add(self, epoch: Epoch) -> None:
        """Count a complete epoch."""
        self.epoch = epoch.epoch
        self.history += (epoch,)
        if epoch.held_out_accuracy is not None:
            self.held_out += (epoch.held_out_accuracy,)

    def plain(self) -> dict[str, Any]:
        """The state as plain values, for a file."""
        return asdict(self)

    @staticmethod
    def of(plain: dict[str, Any]) -> "TrainingState":
        """The state of these plain values; a file of an earlier version contains no ``history``."""
        history = tuple(Epoch(**one) for one in plain.get("history", ()))
        return TrainingState(plain["phase"], plain["epoch"], tuple(plain["held_out"]), history)
