"""The tasks of the command line: one file per task, found by its name."""

from importlib import import_module
from pathlib import Path

from skeleton_adv.command.job import Job, Task
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.memory import keep_freed_memory
from skeleton_adv.core.ranges import nearest

HELPERS = ("__init__", "fitting", "resume", "weights")  # what several tasks need


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
    """Run a job's task; return the folder of the run, if there is one."""
    keep_freed_memory()
    return job.task.run(job)
