"""ADMM's wall time over that of as many bare forward and backward-to-input passes on the same chunk.

    python scripts/bench_admm.py [clips] [steps] [rounds]

One process, the two in turn, the median of the rounds' ratios; HCN at T=64 on generated clips.
"""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch

from skeleton_adv.attacks.admm import admm
from skeleton_adv.attacks.losses import hinge
from skeleton_adv.constraints import BoneLength, JointAngle, Speed
from skeleton_adv.data.clips import hashed_order, load_batch
from skeleton_adv.data.store import Generated
from skeleton_adv.data.synthetic import SyntheticMotion
from skeleton_adv.defenses import none
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.preprocess import CenterPerFrame
from skeleton_adv.victim import Victim, build_network


def main(clips: int = 32, steps: int = 20, rounds: int = 5) -> None:
    """Print each round's times and the median ratio."""
    dataset = SyntheticMotion()
    prepared = Generated(dataset)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = load_batch(dataset, prepared, hashed_order(prepared.clips, "test")[:clips]).to(device)
    torch.manual_seed(0)
    victim = Victim(build_network(partial(HCN, fc7=256), CenterPerFrame, dataset), none, device)
    constraints = {"bone": BoneLength(), "angle": JointAngle(), "speed": Speed()}

    def bare() -> None:
        view = victim.view(batch, "bench", 0)
        x = batch.x.clone().requires_grad_()
        for _ in range(steps):
            torch.autograd.grad(hinge(view(x), batch.y, False, 1.0).sum(), x)

    def attack() -> None:
        admm(victim.view(batch, "bench", 0), batch, constraints=constraints, outer_steps=steps // 10, inner_steps=10)

    def timed(work: Callable[[], None]) -> float:
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    timed(bare), timed(attack)
    ratios = []
    for _ in range(rounds):
        floor, ours = timed(bare), timed(attack)
        ratios.append(ours / floor)
        print(f"bare {1000 * floor / steps:.1f} ms a pass, admm {1000 * ours / steps:.1f} ms, ratio {ratios[-1]:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f} ({clips} clips, {steps} passes, {device})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
