"""What is done, under way and missing below a folder, live: ``python -m skeleton_adv.status``. No torch here."""

import argparse
import sys
import time
from pathlib import Path

from skeleton_adv.core.ending import one_line
from skeleton_adv.core.errors import RunError
from skeleton_adv.report.status import page

CLEAR = "\x1b[H\x1b[2J"


def main() -> None:
    """Show the runs below a folder: finished, unfinished with the time left, and missing from their sweeps."""
    parser = argparse.ArgumentParser(prog="python -m skeleton_adv.status", description=main.__doc__)
    parser.add_argument("runs", nargs="?", default="outputs/runs", type=Path, help="folder with the runs")
    parser.add_argument("--once", action="store_true", help="print the page once; also if the output is no terminal")
    parser.add_argument("--every", default=5.0, type=float, metavar="SECONDS", help="time between two readings")
    arguments = parser.parse_args()
    with one_line():
        if not arguments.runs.is_dir():
            raise RunError(f"{arguments.runs} is not a folder: name the folder of the runs (runtime.output_dir)")
        while True:
            text = page(arguments.runs, time.time())
            if arguments.once or not sys.stdout.isatty():
                print(text)
                return
            print(f"{CLEAR}{text}", flush=True)
            time.sleep(max(arguments.every, 0.5))


if __name__ == "__main__":
    main()
