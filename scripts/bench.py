"""Compare the wall time of an attack, or of certification, with that of the same number of bare passes.

    python scripts/bench.py                                  # ADMM on HCN
    python scripts/bench.py --work cw --victim agcn_small --clips 8
    python scripts/bench.py --work certify --clips 8 --steps 63

For an attack, a pass is one forward and one backward pass to the input; for certification, it is one forward pass
of 16 draws per clip. One process alternates between the two and prints the ratio of each round and their median.
Clips are generated, with T=64, and weights are untrained.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from skeleton_adv.attacks.admm import admm
from skeleton_adv.attacks.cw import cw
from skeleton_adv.attacks.losses import hinge
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.certificates.counts import count_classes
from skeleton_adv.constraints import BoneLength, JointAngle, Speed
from skeleton_adv.core.memory import keep_freed_memory
from skeleton_adv.data.clips import hashed_order, load_batch
from skeleton_adv.data.store import Generated
from skeleton_adv.data.synthetic.dataset import SyntheticMotion
from skeleton_adv.defenses import none
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
AT_ONCE = 16  # draws of a clip in one pass of certification


def main() -> None:
    """Print the times of each round and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=("admm", "cw", "pgd", "certify"), default="admm")
    parser.add_argument("--victim", choices=VICTIMS, default="hcn")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20, help="passes per round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.work == "admm" and arguments.steps % 10:
        parser.error("--steps must be a multiple of 10 for admm, whose multipliers rise every tenth step")
    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bare, ours = pair(arguments.work, arguments.victim, arguments.clips, arguments.steps, device)

    def timed(work: Work) -> float:
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    timed(bare), timed(ours)
    ratios = []
    for _ in range(arguments.rounds):
        floor, spent = (timed(work) / arguments.steps for work in (bare, ours))
        ratios.append(spent / floor)
        print(f"bare {1000 * floor:.1f} ms per pass, {arguments.work} {1000 * spent:.1f} ms, ratio {ratios[-1]:.3f}")
    print(
        f"{arguments.work} on {arguments.victim}: median ratio {statistics.median(ratios):.3f}, {min(ratios):.3f} to "
        f"{max(ratios):.3f} ({arguments.clips} clips, {arguments.steps} passes, {device})"
    )


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
        view, limits = victim.view(batch, "bench", 0), {"bone": BoneLength(), "angle": JointAngle(), "speed": Speed()}
        if work == "admm":
            return admm(view, batch, constraints=limits, outer_steps=steps // 10, inner_steps=10)
        if work == "cw":
            return cw(view, batch, search_steps=1, steps=steps, abort_early=False)
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

    return (forwards, certify) if work == "certify" else (gradients, attack)


if __name__ == "__main__":
    main()
