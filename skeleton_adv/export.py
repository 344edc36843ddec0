"""Clips of a run -> files that other programs read: ``python -m skeleton_adv.export``. No torch here."""

import argparse
from pathlib import Path

from skeleton_adv.core.ending import one_line
from skeleton_adv.core.errors import RunError
from skeleton_adv.report.export import WRITERS, export
from skeleton_adv.runs.load import load_run


def main() -> None:
    """Write the adversarial clips that a run has kept (runtime.save_clips=true)."""
    parser = argparse.ArgumentParser(prog="python -m skeleton_adv.export", description=main.__doc__)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument(
        "--format",
        default="npz",
        choices=[*WRITERS],
        help="npz: both clips and all facts; ctrgcn: as NTU60_CS.npz of CTR-GCN; pyskl: as its pickled annotations",
    )
    parser.add_argument("--out", type=Path, help="the file; default: adversarial_<format> in the run's folder")
    parser.add_argument("--clean", action="store_true", help="ctrgcn, pyskl: write the clean clips instead")
    arguments = parser.parse_args()
    with one_line():
        run = load_run(arguments.run)
        if run is None:
            raise RunError(f"{arguments.run} is not the folder of a finished run: it contains no run.json")
        path, known = export(run, arguments.format, arguments.out, arguments.clean)
        print(f"{path}: {known}")


if __name__ == "__main__":
    main()
