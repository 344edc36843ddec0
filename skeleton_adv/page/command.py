"""Runs and clips -> one HTML file that opens anywhere: ``python -m skeleton_adv.page``."""

import argparse
from pathlib import Path

from skeleton_adv.core.ending import one_line
from skeleton_adv.core.errors import SettingError
from skeleton_adv.page.make import CLIPS, Content, warn_of_clips, write_page
from skeleton_adv.page.own import clips_of
from skeleton_adv.page.reported import reported
from skeleton_adv.report.show import finished
from skeleton_adv.runs.load import Run, without_duplicates


def main() -> None:
    """Write a page with all finished runs below the folders, some of their saved clips, and clips of your own."""
    parser = argparse.ArgumentParser(prog="python -m skeleton_adv.page", description=main.__doc__)
    parser.add_argument("runs", nargs="*", type=Path, help="folders with runs; default: outputs/runs, without --clip")
    parser.add_argument("--out", default="page", type=Path, help="folder for the page, index.html")
    parser.add_argument("--clips", default=CLIPS, type=int, help=f"how many saved clips to include; default: {CLIPS}")
    parser.add_argument("--clip", action="append", default=[], type=Path, help="an .npz file with clips of your own")
    parser.add_argument("--skeleton", help="the skeleton of --clip, such as ntu25, if the file has none")
    parser.add_argument("--reported", action="append", default=[], type=Path, help="a JSON file of others' results")
    parser.add_argument("--title", default="skeleton_adv", help="the title of the page")
    parser.add_argument("--strict", action="store_true", help="refuse unfinished runs")
    arguments = parser.parse_args()
    with one_line():
        if arguments.clips < 0:
            raise SettingError(f"--clips {arguments.clips} must be at least 0")
        own = [clip for path in arguments.clip for clip in clips_of(path, arguments.skeleton)]
        roots = arguments.runs or ([] if own else [Path("outputs/runs")])
        content = Content(
            runs=gathered(roots, arguments.strict),
            clips=arguments.clips,
            own=own,
            reported=[row for path in arguments.reported for row in reported(path)],
            title=arguments.title,
        )
        warn_of_clips(content)
        path = write_page(content, arguments.out)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def gathered(roots: list[Path], strict: bool = False) -> list[Run]:
    """The finished runs below these folders; a run that several folders contain with the same rows counts once.

    Raises ``RunError`` if two folders contain a run with different rows.
    """
    return without_duplicates((run for root in roots for run in finished(root, strict, once=True)), once=True)
