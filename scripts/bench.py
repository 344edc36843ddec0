"""Wall time of an attack, or of certification, over that of as many bare passes through the same network.

    python scripts/bench.py                                  # ADMM on HCN
    python scripts/bench.py --work cw --victim agcn_small --clips 8
    python scripts/bench.py --work certify --clips 8 --steps 63

A pass is forward and backward to the input; of certification forward alone, 16 draws of each clip at once.
One process, the two in turn, the median of the rounds' ratios; T=64, generated clips, untrained weights.
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
from skeleton_adv.data.clips import hashed_order, load_batch
from skeleton_adv.data.store import Generated
from skeleton_adv.data.synthetic.dataset import SyntheticMotion
from skeleton_adv.defenses import none
from skeleton_adv.models.agcn import TwoStreamAGCN
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import build_network
from skeleton_adv.models.preprocess import CenterPerFrame, PreNormalize
from skeleton_adv.models.victim import Victim
from skeleton_adv.tasks.memory import keep_freed_memory

VICTIMS: dict[str, tuple[Callable[..., nn.Module], Callable[..., nn.Module], dict[str, Any]]] = {
    "hcn": (HCN, CenterPerFrame, {"fc7": 256}),
    "agcn": (TwoStreamAGCN, PreNormalize, {}),
    "agcn_small": (TwoStreamAGCN, PreNormalize, {"width": 16}),
}
Work = Callable[[], object]
AT_ONCE = 16  # draws of a clip in one pass of certification


def main() -> None:
    """Print each round's times and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=("admm", "cw", "pgd", "certify"), default="admm")
    parser.add_argument("--victim", choices=VICTIMS, default="hcn")
    parser.add_argument("--clips", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20, help="passes of a round")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if asked.work == "admm" and asked.steps % 10:
        parser.error("--steps must be a multiple of 10 for admm, whose multipliers rise every tenth step")
    keep_freed_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bare, ours = pair(asked.work, asked.victim, asked.clips, asked.steps, device)

    def timed(work: Work) -> float:
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    timed(bare), timed(ours)
    ratios = []
    for _ in range(asked.rounds):
        floor, spent = (timed(work) / asked.steps for work in (bare, ours))
        ratios.append(spent / floor)
        print(f"bare {1000 * floor:.1f} ms a pass, {asked.work} {1000 * spent:.1f} ms, ratio {ratios[-1]:.3f}")
    print(
        f"{asked.work} on {asked.victim}: median ratio {statistics.median(ratios):.3f}, {min(ratios):.3f} to "
        f"{max(ratios):.3f} ({asked.clips} clips, {asked.steps} passes, {device})"
    )


def pair(work: str, name: str, clips: int, steps: int, device: str) -> tuple[Work, Work]:
    """The bare passes, and the work that makes as many."""
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
            lambda x, wide: victim.view(wide, "bench", 0)(x),
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
