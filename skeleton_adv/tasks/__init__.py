"""The tasks of the command line: one file per task, found by its name."""

from importlib import import_module
from pathlib import Path

from skeleton_adv.command.job import Job, Task
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.memory import has_run_out, keep_freed_memory
from skeleton_adv.core.ranges import nearest

HELPERS = ("__init__", "fitting", "judged", "resume", "saved", "sizing", "weights")  # what several tasks need
SIZES = {"train": "recipe.batch_size", "certify": "smoothing.clips or smoothing.at_once"}  # others: batch_size


def names() -> list[str]:
    """The names of all tasks."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in HELPERS)


def find(name: str) -> type[Task]:
    """The class of a task; raises ``SettingError`` if there is none of this name."""
    if name not in names():
        raise SettingError(f"task={name} is not a task: {nearest(name, names())}")
    task: type[Task] = import_module(f"{__name__}.{name}").Task
    return task


def run(job: Job) -> Path | None:
    """Run a job's task; return the folder of the run, if there is one.

    Raises ``SettingError`` with the setting to reduce if the device's memory does not suffice.
    """
    keep_freed_memory()
    try:
        return job.task.run(job)
    except (MemoryError, RuntimeError) as error:
        if not has_run_out(error):
            raise
        size, reason = SIZES.get(str(job.choices.get("task")), "batch_size"), " ".join(str(error).split())[:120]
        raise SettingError(f"out of memory ({reason or type(error).__name__}): set a smaller {size}") from None
