"""Weights, logits and gradients that are not numbers, and memory that runs out."""

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from faults.outcome import REFUSED, Outcome, is_one_line
from faults.place import Place
from faults.process import Ended, run

BAD = {"NaN": math.nan, "infinite": math.inf}


def weights(place: Place, folder: Path, count: int) -> Iterator[Outcome]:
    """Weights with one value that is not finite, in ``count`` places of the network."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in BAD.items():
        outcome, rng = Outcome(f"{name} weight", "attack"), random.Random(name)
        for number in range(count):
            tensors = load_file(place.weights)
            chosen = rng.choice(sorted(key for key, tensor in tensors.items() if tensor.dtype.kind == "f"))
            tensors[chosen] = tensors[chosen].copy()
            tensors[chosen].reshape(-1)[rng.randrange(tensors[chosen].size)] = value
            path = folder / f"{name}{number}.safetensors"
            with safe_open(place.weights, framework="numpy") as file:
                save_file(tensors, path, file.metadata())
            facts = place.weights.with_suffix(".json")
            if facts.exists():
                path.with_suffix(".json").write_bytes(facts.read_bytes())
            ended = run(folder / f"{name}{number}", place.words("attack", path))
            judge(folder / f"{name}{number}", ended, outcome, f"{chosen}")
        yield outcome


def values(place: Place, folder: Path, count: int, tasks: tuple[str, ...] = ("attack", "certify")) -> Iterator[Outcome]:
    """Logits or gradients of one clip that are not finite, from a random pass on or in one pass only."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        for name, value in BAD.items():
            for what in ("logits", "gradients") if task == "attack" else ("logits",):
                outcome, rng = Outcome(f"{name} {what}", task), random.Random(f"{name} {what} {task}")
                for number in range(count):
                    once, at = rng.random() < 0.5, rng.randrange(1, 12)
                    place_of_run = folder / f"{task}_{name}_{what}_{number}"
                    ended = run(place_of_run, place.words(task), spoil, what, value, at, once)
                    judge(place_of_run, ended, outcome, f"pass {at}{' only' if once else ' and later'}")
                yield outcome


def memory(
    place: Place, folder: Path, count: int, tasks: tuple[str, ...] = ("train", "attack", "certify")
) -> Iterator[Outcome]:
    """Memory of the device that runs out (injected) in a random pass: one line says what to set."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        outcome, rng = Outcome("out of memory", task), random.Random(f"memory {task}")
        for number in range(count):
            ended = run(folder / f"{task}{number}", place.words(task), exhaust, rng.randrange(1, 12))
            if ended.code == 2 and is_one_line(ended.err) and "memory" in ended.err:
                outcome.ended(REFUSED)
            else:
                outcome.failed(f"exit code {ended.code}: {ended.err[-300:]}")
        yield outcome


def judge(folder: Path, ended: Ended, outcome: Outcome, what: str) -> None:
    """Refused in one line, or rows in which no clip without numbers is a success."""
    if ended.code == 2 and is_one_line(ended.err):
        outcome.ended(REFUSED)
        return
    if ended.code:
        outcome.failed(f"{what}: exit code {ended.code}: {ended.err[-300:]}")
        return
    for path in folder.rglob("records.csv"):
        rows = pd.read_csv(path)
        bad = rows[rows.success & ~(rows.l2.map(math.isfinite) & (rows.adv_pred >= 0))]
        if len(bad):
            outcome.failed(f"{what}: {len(bad)} clips without numbers count as fooled")
            return
    outcome.ended("finished; clips without numbers are no success")


def spoil(what: str, value: float, at: int, once: bool) -> None:
    """Let the ``at``-th pass of HCN return a value for the first clip, or its gradient, that is not finite."""
    import torch

    from skeleton_adv.models.hcn import HCN

    forward, passes = HCN.forward, 0

    def spoilt(self: Any, x: Any) -> Any:
        nonlocal passes
        passes += 1
        now = passes == at if once else passes >= at
        out = forward(self, x)
        if now and what == "logits":
            out = out + torch.zeros_like(out).index_fill(0, torch.tensor([0]), value)
        if now and what == "gradients" and x.requires_grad:
            x.register_hook(lambda g: g + torch.zeros_like(g).index_fill(0, torch.tensor([0]), value))
        return out

    HCN.forward = spoilt  # type: ignore[method-assign]


def exhaust(at: int) -> None:
    """Let the ``at``-th pass of HCN run out of the device's memory."""
    import torch

    from skeleton_adv.models.hcn import HCN

    forward, passes = HCN.forward, 0

    def spoilt(self: Any, x: Any) -> Any:
        nonlocal passes
        passes += 1
        if passes >= at:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return forward(self, x)

    HCN.forward = spoilt  # type: ignore[method-assign]
