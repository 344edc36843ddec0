"""``task=export``: a generated dataset's clips as files in the format of the real set."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.progress import log, track
from skeleton_adv.data.clips import Clip, hashed_order


@dataclass(frozen=True)
class Task:
    """The export of a generated dataset."""

    def run(self, job: Job) -> None:
        """Write the clips below ``runtime.export_dir``."""
        write: Callable[[Iterable[Clip], Path], None] | None = getattr(job.dataset, "write", None)
        if write is None:
            raise SettingError(
                f"dataset={job.choices['dataset']} already consists of files: task=export is for synthetic sets"
            )
        listed = job.dataset.clips()
        numbers = [n for split in ("train", "test") for n in hashed_order(listed, split)[: job.runtime.limit]]
        folder = Path(job.runtime.export_dir) / job.dataset.name
        folder.mkdir(parents=True, exist_ok=True)
        write(track((listed[n] for n in numbers), len(numbers), f"writing {job.dataset.name}"), folder)
        log(f"{len(numbers)} clips are in {folder}")
