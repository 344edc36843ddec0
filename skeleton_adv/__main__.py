"""``python -m skeleton_adv``: compose a configuration with Hydra, run it, show its table."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from skeleton_adv import __version__
from skeleton_adv.command import cli
from skeleton_adv.core.errors import UserError

if TYPE_CHECKING:
    from skeleton_adv.command.job import Session


@dataclass
class Command:
    """One command line and what became of its jobs."""

    typed: list[str]
    finished: list[Path] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    experiment: str | None = None
    table_dir: Path = Path()
    figure_dir: Path = Path()
    session: "Session | None" = None

    def job(self, config: DictConfig) -> None:
        """Run one job; a user's mistake is reported at once, and the other jobs of a sweep continue."""
        now = HydraConfig.get()
        overrides = list(now.overrides.task)
        try:
            from skeleton_adv import tasks  # imports torch, which --help does not require
            from skeleton_adv.command.build import build_job, sweep_of
            from skeleton_adv.command.job import Session

            self.session = self.session or Session()
            sweep = sweep_of(now.sweeper.get("params"), self.typed) if now.mode == RunMode.MULTIRUN else None
            job = build_job(config, now.runtime.choices, overrides, self.typed, tasks.find, sweep, self.session)
            folder = tasks.run(job)
            if folder is not None:
                self.finished.append(folder)
            self.experiment = config.get("experiment")
            self.table_dir, self.figure_dir = Path(job.runtime.table_dir), Path(job.runtime.figure_dir)
        except (UserError, OSError) as error:
            cli.fail(error, self.typed)
            self.failed.append(" ".join(overrides))

    def report(self) -> None:
        """Show the finished runs, with the tables and figures of their experiment."""
        if self.finished:
            from skeleton_adv import figures, tables

            tables.report(self.finished, self.experiment, self.table_dir)
            figures.report(self.finished, self.experiment, self.figure_dir)


def main() -> None:
    """Run the command line; exit code 2 for a user's mistake, 130 after Ctrl-C."""
    arguments = sys.argv[1:]
    try:
        if {"-h", "--help"} & set(arguments):
            print(cli.help_text(arguments))
            return
        if "--version" in arguments:
            print(f"skeleton_adv {__version__}")
            return
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises what it would print
        arguments = cli.translated(arguments)
        cli.check_arguments(arguments)
        sys.argv[1:] = cli.for_hydra(arguments)
        command = Command(arguments)
        hydra.main(version_base="1.3", config_path=str(cli.CONF), config_name="config")(command.job)()
        command.report()
    except BrokenPipeError:  # of a reader that has seen enough, such as ``head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (UserError, OSError, HydraException, OmegaConfBaseException) as error:
        cli.fail(error, arguments)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\ninterrupted: run the same command again to continue", file=sys.stderr)
        sys.exit(130)
    if command.failed:
        if len(command.failed) + len(command.finished) > 1:
            print(f"{len(command.failed)} jobs failed: {'; '.join(command.failed)}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
