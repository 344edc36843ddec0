"""The time of a network's pass, measured on a chunk of clips where nothing has run that would tell it."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from skeleton_adv.command.job import Job
from skeleton_adv.data.clips import Prepared, load_batch
from skeleton_adv.defenses import none
from skeleton_adv.evaluation.chunks import padded
from skeleton_adv.models.victim import Victim
from skeleton_adv.tasks.resume import Plan
from skeleton_adv.tasks.weights import weights_of

SECONDS = 20.0
PASSES = 6


def seconds_per_pass(job: Job, plan: Plan, prepared: Prepared) -> float:
    """Seconds of one pass over a chunk, with gradients if the job needs them; measured for at most 20 s."""
    role = job.surrogate or job.victim
    network, _ = weights_of(job, role).load(prepared)
    defense: Callable[[nn.Module], nn.Module] = getattr(job.task, "defense", none) if job.surrogate is None else none
    victim = Victim(network, defense, job.runtime.torch_device())
    rows = padded(plan.order[: plan.chunks.size], plan.chunks.rows)
    batch = load_batch(job.dataset, prepared, rows).to(victim.device)
    view = victim.view(batch, "probe", 0)
    times: list[float] = []
    ends = time.perf_counter() + SECONDS
    while len(times) < PASSES and (not times or time.perf_counter() + times[-1] < ends):
        began = time.perf_counter()
        with torch.set_grad_enabled(plan.chunks.backward):
            x = batch.x.clone().requires_grad_(plan.chunks.backward)
            outputs: Any = view(x)
            if plan.chunks.backward:
                torch.autograd.grad(outputs.sum(), x)
        if torch.device(victim.device).type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    measured = times[1:] or times  # the first pass allocates memory
    return sum(measured) / len(measured)
