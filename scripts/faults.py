"""Inject every fault that the program must survive; writes outputs/reference/faults.md; takes about an hour.

    python scripts/faults.py                   # all of them, as root on Linux (disks are mounted)
    python scripts/faults.py --only kill       # some of them; the file keeps its other rows

The faults themselves are in tests/faults. Exit code 1 if one of them ended badly.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]

import torch  # noqa: E402
from conftest import write_motion, write_place  # noqa: E402
from faults import damaged, fuzz, kills, numbers, storage  # noqa: E402
from faults.outcome import Outcome  # noqa: E402
from faults.place import Place  # noqa: E402
from make_reference import CPU, commands  # noqa: E402

from skeleton_adv.core.ending import one_line  # noqa: E402
from skeleton_adv.core.files import write_whole  # noqa: E402

OUT = ROOT / "outputs/reference/faults.md"
HEAD = """# Faults
Each fault was injected into commands on a small dataset and a small network, and the same command was run again
afterwards. *Bad ends* are tracebacks, lost or repeated rows, files that differ from those of an uninterrupted run,
changes of a file that change a number unnoticed, inputs that take longer than 10 s of a core, and memory beyond twice
the input plus 300 MB. This file is written by `python scripts/faults.py`; `make test` injects a small part of them.

"""


def faults(place: Place, folder: Path, share: float) -> dict[str, Callable[[], Iterator[Outcome]]]:
    """Every group of faults, with a ``share`` of the numbers of injections."""

    def n(count: int) -> int:
        return max(round(count * share), 1)

    lines = [*commands("data/utd_mhad", "data/hdm05", CPU)]
    groups: dict[str, Callable[[], Iterator[Outcome]]] = {
        "kill": lambda: kills.kills(place, folder / "kill", n(22)),
        "sigterm": lambda: kills.terminations(place, folder / "term", n(4)),
        "deleted": lambda: storage.deleted_folders(place, folder / "deleted", n(6), ("train", "attack", "certify")),
        "together": lambda: storage.together(place, folder / "together", (2, 8), ("prepare", "attack", "certify")),
        "clock": lambda: storage.clocks(place, folder / "clock", n(3), ("train", "attack", "certify")),
        "damage": lambda: damaged.damaged(place, folder / "damage", n(30)),
        "weights": lambda: numbers.weights(place, folder / "weights", n(5)),
        "values": lambda: numbers.values(place, folder / "values", n(5)),
        "memory": lambda: numbers.memory(place, folder / "memory", n(4)),
        "files": lambda: fuzz.readers(folder / "files", n(700)),
        "commands": lambda: fuzz.command_lines(n(600), lines),
    }
    if storage.can_mount():
        tasks = ("prepare", "train", "attack", "certify")
        groups["full"] = lambda: storage.full_disks(place, folder / "full", n(6), tasks)
        groups["readonly"] = lambda: storage.read_only(place, folder / "readonly", tasks)
    return groups


def table(outcomes: list[Outcome], missing: list[str], before: str = "") -> str:
    """The table of all faults in Markdown; rows of the file ``before`` stay if their fault was not injected again."""
    again = {f"| {one.fault} | {one.where} |" for one in outcomes}
    kept = [line for line in before.splitlines() if line.startswith("| ") and line.count(" | ") == 5][2:]
    kept = [line for line in kept if not line.startswith(tuple(again))]
    ends = [line for line in before.splitlines() if line.startswith("- ")]
    ends = [end for end in ends if not any(end.startswith(f"- {one.fault}, {one.where}: ") for one in outcomes)]
    head = ("fault", "in", "injected", "what happened", "bad ends", "seconds")
    rows = [f"| {' | '.join(map(str, one.row()))} |" for one in outcomes]
    ends += [f"- {one.fault}, {one.where}: {why}" for one in outcomes for why in one.wrong]
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] * len(head))} |", *kept, *rows]
    total, bad = (sum(int(line.split(" | ")[column]) for line in lines[2:]) for column in (2, 4))
    text = "\n".join([*lines, "", f"{total:,} faults were injected; {bad} ended badly.", *ends, ""])
    if missing:
        text += f"\nNot injected here, since disks can be mounted only by root on Linux: {', '.join(missing)}.\n"
    return text + f"\nPython {platform.python_version()}, torch {torch.__version__}, {platform.system()}.\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", action="store_true", help="a tenth of the injections")
    parser.add_argument("--only", nargs="*", help="only these groups")
    parser.add_argument("--out", type=Path, default=OUT, help=f"default: {OUT.relative_to(ROOT)}")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with one_line(), tempfile.TemporaryDirectory(prefix="faults_") as made:
        folder = Path(made)
        place = Place(*write_place(write_motion(folder / "motion"), folder / "place"))
        groups = faults(place, folder, 0.1 if given.few else 1)
        unknown = {*(given.only or [])} - {*groups}
        if unknown:
            parser.error(f"--only {unknown.pop()}: choose from {', '.join(groups)}")
        outcomes: list[Outcome] = []
        for name in given.only or groups:
            for outcome in groups[name]():
                print(*outcome.row(), *outcome.wrong, sep=" | ", flush=True)
                outcomes.append(outcome)
        missing = [] if storage.can_mount() else ["full disk", "read-only folder"]
        before = given.out.read_text() if given.only and given.out.exists() else ""
        print(write_whole(given.out, HEAD + table(outcomes, missing, before)))
    return int(any(outcome.wrong for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
