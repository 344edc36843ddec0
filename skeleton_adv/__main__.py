"""``python -m skeleton_adv``: compose a configuration with Hydra, run it, show its table."""

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from skeleton_adv import __version__
from skeleton_adv.command import cli
from skeleton_adv.core.errors import UserError

_finished: list[Path] = []
_experiments: dict[str | None, tuple[Path, Path]] = {}
_failed: list[str] = []


@hydra.main(version_base="1.3", config_path=str(cli.CONF), config_name="config")
def _job(config: DictConfig) -> None:
    now = HydraConfig.get()
    try:
        from skeleton_adv import tasks
        from skeleton_adv.command import build  # bring torch, which --help does without

        job = build.build_job(config, now.runtime.choices, list(now.overrides.task), typed=sys.argv[1:])
        folder = tasks.run(job)
        if folder is not None:
            _finished.append(folder)
            _experiments[config.get("experiment")] = (Path(config.runtime.table_dir), Path(config.runtime.figure_dir))
    except (UserError, OSError) as error:
        cli.fail(error, sys.argv[1:])  # at once; the other jobs of a sweep go on
        _failed.append(" ".join(now.overrides.task))


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
        cli.check_arguments(arguments)
        sys.argv[1:] = cli.flags_last(arguments)
        _job()
        if _finished:
            from skeleton_adv import figures, tables

            for experiment, (table_dir, figure_dir) in _experiments.items():
                tables.report(_finished, experiment, table_dir)
                figures.report(_finished, experiment, figure_dir)
    except (UserError, OSError, HydraException, OmegaConfBaseException) as error:
        cli.fail(error, arguments)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\ninterrupted: the same command continues where this one stopped", file=sys.stderr)
        sys.exit(130)
    if _failed:
        if len(_failed) + len(_finished) > 1:
            print(f"{len(_failed)} jobs failed: {'; '.join(_failed)}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
