"""Compare the time of an attack, or of certification, with that of the same number of bare passes.

    python scripts/bench.py                                  # ADMM on HCN
    python scripts/bench.py --work cw --victim agcn_small --clips 8
    python scripts/bench.py --work certify --clips 8 --steps 63
    python scripts/bench.py --all                            # writes outputs/reference/benchmark.md

For an attack, a pass is one forward and one backward pass to the input; for certification, it is one forward pass
of 16 draws per clip. ``judging`` is a run of the attack with its judgements, noise control and measures, without its
passes, compared with as many bare passes. One process alternates between the two and prints the ratio of each round and
their median. Times are the process's CPU time; on a GPU, wall time. Clips are generated, with T=64, and weights are
untrained. ``startup`` is the CPU time of a command until the first pass of its network.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from skeleton_adv.attacks import AttackResult, needs
from skeleton_adv.attacks.admm import admm
from skeleton_adv.attacks.cw import cw
from skeleton_adv.attacks.losses import hinge
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.certificates.counts import count_classes
from skeleton_adv.constraints import BoneLength, Constraint, JointAngle, Speed
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.files import write_whole
from skeleton_adv.core.memory import keep_freed_memory
from skeleton_adv.data.clips import hashed_order, load_batch
from skeleton_adv.data.store import Generated
from skeleton_adv.data.synthetic.dataset import SyntheticMotion
from skeleton_adv.defenses import none
from skeleton_adv.evaluation.attack import Evaluation
from skeleton_adv.models.agcn import TwoStreamAGCN
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import build_network
from skeleton_adv.models.preprocess import CenterPerFrame, PreNormalize
from skeleton_adv.models.victim import Victim

VICTIMS: dict[str, tuple[Callable[..., nn.Module], Callable[..., nn.Module], dict[str, Any]]] = {
    "hcn": (HCN, CenterPerFrame, {"fc7": 256}),
    "agcn": (TwoStreamAGCN, PreNormalize, {}),
    "agcn_small": (TwoStreamAGCN, PreNormalize, {"width": 16}),
}
Work = Callable[[], object]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
AT_ONCE = 16  # draws of a clip in one pass of certification
LIMITS: Mapping[str, Constraint] = {"bone": BoneLength(), "angle": JointAngle(), "speed": Speed()}
GOALS = {"judging": "0.5, which is 0.05 of 200 passes", "startup": "4 s"}
STARTUP = ["attack=fgsm", "model=hcn", "batch_size=1", "runtime.limit=1", "runtime.device=cpu"]
# A command that ends at the first pass of its network and prints the CPU time until then.
UNTIL_FIRST_PASS = """
import os, runpy, sys
from skeleton_adv.models.network import Network
def ended(*_):
    times = os.times()
    print(times.user + times.system, flush=True)
    os._exit(0)
Network.forward = ended
runpy.run_module("skeleton_adv", run_name="__main__", alter_sys=True)
"""


class Bench(NamedTuple):
    """One measurement: how many clips, passes per round and rounds."""

    work: str
    victim: str
    clips: int = 8
    steps: int = 20
    rounds: int = 3


ALL = (
    *(Bench(work, "hcn") for work in ("admm", "cw", "pgd")),
    Bench("certify", "hcn", steps=10),
    Bench("judging", "hcn"),
    Bench("admm", "agcn_small", clips=4, steps=10),
    Bench("judging", "agcn_small", clips=4),
)


def main() -> None:
    """Print the times of each round and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=("admm", "cw", "pgd", "certify", "judging", "startup"), default="admm")
    parser.add_argument("--victim", choices=VICTIMS, default="hcn")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20, help="passes per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--all", action="store_true", help="measure everything")
    parser.add_argument("--out", type=Path, default=Path("outputs/reference/benchmark.md"), help="file of --all")
    arguments = parser.parse_args()
    if arguments.work == "admm" and arguments.steps % 10:
        parser.error("--steps must be a multiple of 10 for admm, whose multipliers rise every tenth step")
    keep_freed_memory()
    if arguments.all:
        write_whole(arguments.out, report(DEVICE))
    elif arguments.work == "startup":
        print(f"startup: {startup():.1f} s of CPU time")
    else:
        measured(Bench(*(getattr(arguments, name) for name in Bench._fields)), DEVICE)


def measured(bench: Bench, device: str) -> list[float]:
    """The ratios of the rounds, which are also printed."""
    bare, ours = pair(bench.work, bench.victim, bench.clips, bench.steps, device)

    def timed(work: Work) -> float:
        clock = time.perf_counter if device == "cuda" else time.process_time
        began = clock()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        return clock() - began

    timed(bare), timed(ours)
    ratios = []
    for _ in range(bench.rounds):
        floor, spent = (timed(work) / bench.steps for work in (bare, ours))
        ratios.append(spent / floor)
        print(f"bare {1000 * floor:.1f} ms per pass, {bench.work} {1000 * spent:.1f} ms, ratio {ratios[-1]:.3f}")
    print(
        f"{bench.work} on {bench.victim}: median ratio {statistics.median(ratios):.3f}, {min(ratios):.3f} to "
        f"{max(ratios):.3f} ({bench.clips} clips, {bench.steps} passes, {device})",
        flush=True,
    )
    return ratios


def startup() -> float:
    """The CPU seconds of a command until its first pass; the second of two, whose files are cached."""
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            words = [*STARTUP, f"runtime.output_dir={folder}"]
            command = [sys.executable, "-c", UNTIL_FIRST_PASS, *words]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(told.splitlines()[-1])


def report(device: str) -> str:
    """The file of all measurements."""
    rows = []
    for bench in ALL:
        ratios = measured(bench, device)
        rows.append(
            f"| {bench.work} | {bench.victim} | {bench.clips} | {bench.steps} | {statistics.median(ratios):.3f} | "
            f"{min(ratios):.3f} to {max(ratios):.3f} | {GOALS.get(bench.work, '')} |"
        )
    where = f"{torch.cuda.get_device_name()}" if device == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    return f"""# Costs
Made by `python scripts/bench.py --all`, which explains the rows. A ratio is the time of the work divided by that of as
many bare passes of the same network: 1 means that nothing but the network costs time.

Measured on: {where}, torch {torch.__version__}.{"" if device == "cuda" else " GPU: not measured."}

| work | victim | clips | passes | median ratio | range | goal |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

From the start of a command to the first pass of its network, with all imports: {startup():.1f} s of CPU time (goal:
{GOALS["startup"]}).
"""


@needs("gradients")
def moved(model: Any, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult:
    """An attack without passes, which moves every joint by a millimetre."""
    return AttackResult(batch.x + 1e-3 * batch.movable, batch.y < 0)


def pair(work: str, name: str, clips: int, steps: int, device: str) -> tuple[Work, Work]:
    """A function that makes ``steps`` bare passes, and one that does ``work`` with the same number of passes."""
    dataset = SyntheticMotion()
    prepared = Generated(dataset)
    batch = load_batch(dataset, prepared, hashed_order(prepared.clips, "test")[:clips]).to(device)
    torch.manual_seed(0)
    architecture, preprocess, widths = VICTIMS[name]
    victim = Victim(build_network(partial(architecture, **widths), preprocess, dataset), none, device)

    def gradients() -> None:
        view, x = victim.view(batch, "bench", 0), batch.x.clone().requires_grad_()
        for _ in range(steps):
            torch.autograd.grad(hinge(view(x), batch.y, False, 1.0).sum(), x)

    def forwards() -> None:
        x = batch.x.repeat(AT_ONCE, 1, 1, 1, 1)
        with torch.no_grad():
            for _ in range(steps):
                victim.module(x, None)

    def attack() -> object:
        view = victim.view(batch, "bench", 0)
        if work == "admm":
            return admm(view, batch, constraints=LIMITS, outer_steps=steps // 10, inner_steps=10)
        if work == "cw":
            return cw(view, batch, search_steps=1, steps=steps, abort_early=False, start="clean")
        return pgd(view, batch, steps=steps)

    def certify() -> object:
        return count_classes(
            lambda x, repeated: victim.view(repeated, "bench", 0)(x),
            batch,
            sigma=0.25,
            draws=range(steps * AT_ONCE),
            at_once=AT_ONCE,
            num_classes=len(dataset.classes),
            seed=0,
            purpose="bench",
        )

    def judging() -> None:
        order, nothing = batch.index.tolist(), set[int]()
        evaluation = Evaluation(dataset, prepared, victim, victim, moved, LIMITS, False, "random", 0, clips)
        evaluation.run(order, nothing, lambda rows: None, lambda chunks, _: chunks)

    if work == "judging":
        return gradients, judging
    return (forwards, certify) if work == "certify" else (gradients, attack)


if __name__ == "__main__":
    main()
