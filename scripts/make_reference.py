"""Make the tables and figures in outputs/reference, one command after another; hours on two cores, minutes on a GPU.

    python scripts/make_reference.py --utd data/utd_mhad            # everything that is not there yet
    python scripts/make_reference.py --utd data/utd_mhad --only kinetics --list

Each command resumes what was interrupted and does nothing where all is done, so this may be stopped
and started again at any time. The victims are those in outputs/checkpoints; what is missing is trained.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator

RUNS = "outputs/reference_runs"  # apart from what anybody tries out
KINDS = ("tables", "figures")


def commands(utd: str, gpu: bool) -> Iterator[str]:
    """The arguments of each command, in the order in which they are run."""
    real = f"dataset=utd_mhad dataset.root={utd}"
    # On a CPU 2s-AGCN has a quarter of its width, and of the synthetic sets the ten first actions.
    graph = "model=agcn" if gpu else "model=agcn_small"
    ten = "" if gpu else " dataset.num_actions=10 dataset.num_persons=1"
    fifty, thirty, some = ("", "", "") if gpu else (_first(50, 25), _first(30, 30), _first(200, 50))
    hundred = f" runtime.limit={1000 if gpu else 100}"
    yield from (f"task=train {real} model.seed={seed}" for seed in range(3))
    yield from (f"task=train {graph} {real} dataset.num_frames=64 model.seed={seed}" for seed in range(3 if gpu else 1))
    for table in ("table1", "table3"):
        yield f"experiment={table} {real}"
        yield f"experiment={table} {graph} {real} dataset.num_frames=64{fifty}"
    for dataset, table in (("synthetic_cs", "table1"), ("synthetic_cv", "table1"), ("synthetic_kinetics", "table5")):
        yield f"task=train dataset={dataset}"
        yield f"task=train dataset={dataset} {graph}{ten}"
        yield f"experiment={table} dataset={dataset}{some}"
        yield f"experiment={table} dataset={dataset} {graph}{ten}{thirty}"
    # Transfer needs both victims at one number of frames; on a CPU 2s-AGCN is defended at one sigma.
    one_sigma = "" if gpu else " defense.sigma=0.01"
    yield f"task=train {graph} {real}"
    synthetic = "dataset=synthetic_cs"
    # HCN's and 2s-AGCN's actions; UTD-MHAD's 430 test clips are two chunks.
    for full, part, clips in ((real, real, " batch_size=215"), (synthetic, synthetic + ten, some)):
        limit = " runtime.limit=200" if full == synthetic and not gpu else ""
        yield f"task=train {full} model.seed=1"
        yield f"experiment=table2 {full}{clips}"
        yield f"task=train {part} model.seed=1"
        yield f"experiment=table2 {graph} {part}{clips}"
        yield f"experiment=table4 {full}{clips}"
        yield f"experiment=table4 {graph} {part}{one_sigma}{thirty}"
        yield f"experiment=defense_budget {full}{_first(200, 50)}"
        yield f"experiment=figure3 {full}{_first(50, 50) if limit else ' runtime.limit=64'}"  # runs of Table 1
        yield f"experiment=films {full}"
        yield f"experiment=films {graph} {part}"
        yield f"task=train {full} model.noise=0.1,0.25,0.5 -m"
        yield f"experiment=figure5 {full}{limit}"
        yield f"task=train {graph} {part} dataset.num_frames=64 model.noise=0.1"
        yield f"experiment=figure5 {graph} {part} dataset.num_frames=64 model.noise=0.1{hundred}"


def _first(clips: int, at_once: int) -> str:
    return f" batch_size={at_once} runtime.limit={clips}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utd", default="data/utd_mhad", help="folder of UTD-MHAD's .mat files")
    parser.add_argument("--gpu", action="store_true", help="2s-AGCN in full width, and every clip")
    parser.add_argument("--only", default="", help="only commands that hold this text")
    parser.add_argument("--list", action="store_true", help="show the commands, run nothing")
    arguments = parser.parse_args()
    for command in commands(arguments.utd, arguments.gpu):
        if arguments.only not in command:
            continue
        print(f"python -m skeleton_adv {command}", flush=True)
        if not arguments.list and subprocess.call(
            [sys.executable, "-m", "skeleton_adv", *command.split(), f"runtime.output_dir={RUNS}"]
        ):
            sys.exit(f"error: the command above failed; mend it and start again: python {' '.join(sys.argv)}")
    if not arguments.list:
        shown = [RUNS, "--out", "outputs/reference", "--skip-unfinished"]
        failed = [subprocess.call([sys.executable, "-m", f"skeleton_adv.{kind}", *shown]) for kind in KINDS]
        sys.exit(any(failed))


if __name__ == "__main__":
    main()
