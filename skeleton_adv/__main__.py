"""``python -m skeleton_adv``: run the jobs of a command line, or show what Hydra knows about it."""

import os
import sys

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from skeleton_adv import __version__
from skeleton_adv.command import cli
from skeleton_adv.core.errors import UserError


def main() -> None:
    """Run the command line; exit code 2 if a job failed or for a user's mistake, 130 after Ctrl-C."""
    arguments = sys.argv[1:]
    try:
        if {"-h", "--help"} & set(arguments):
            print(cli.help_text(arguments))
            return
        if "--version" in arguments:
            print(f"skeleton_adv {__version__}")
            return
        arguments = cli.translated(arguments)
        cli.check_arguments(arguments)
        if cli.shows_only(arguments):
            _show(arguments)
            return
        from skeleton_adv.launch.run import run  # imports torch, which --help does not require

        succeeded = run(arguments)
    except BrokenPipeError:  # of a reader that has seen enough, such as ``head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (UserError, OSError, HydraException, OmegaConfBaseException) as error:
        cli.fail(error, arguments)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\ninterrupted: run the same command again to continue", file=sys.stderr)
        sys.exit(130)
    if not succeeded:
        sys.exit(2)


def _show(arguments: list[str]) -> None:
    """Let Hydra show what it knows about a command, which does not run."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises what it would print
    sys.argv[1:] = cli.for_hydra(arguments)

    def nothing(config: DictConfig) -> None:
        raise AssertionError("a command that only shows something runs nothing")

    hydra.main(version_base="1.3", config_path=str(cli.CONF), config_name="config")(nothing)()


if __name__ == "__main__":
    main()
