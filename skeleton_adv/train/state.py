"""The state of a training, from which it resumes, and its history."""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass
class TrainingState:
    """The state of a training after its last whole epoch, from which it resumes."""

    phase: Literal["select", "refit", "done"] = "select"
    epoch: int = 0
    held_out: tuple[float, ...] = ()  # accuracy on the held-out clips after each epoch

    @property
    def chosen(self) -> int:
        """Epochs for the refit: the last best of the held-out accuracies, smoothed over five epochs."""
        if not self.held_out:
            return 0
        smooth = [float(np.mean(self.held_out[max(0, e - 4) : e + 1])) for e in range(len(self.held_out))]
        return max(range(len(smooth)), key=lambda e: (smooth[e], e)) + 1
