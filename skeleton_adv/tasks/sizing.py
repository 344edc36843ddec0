"""``batch_size=auto``: as many clips at once as the memory holds. The size is decided once and belongs to the run."""

import math
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.autograd.graph import saved_tensors_hooks

from skeleton_adv.command.job import Job
from skeleton_adv.core.files import read_json
from skeleton_adv.core.memory import free_memory, has_run_out
from skeleton_adv.core.progress import log
from skeleton_adv.data.clips import Prepared, load_batch
from skeleton_adv.models.victim import Victim
from skeleton_adv.tasks.resume import Plan

LARGEST = {"cpu": 64, "cuda": 1024}  # larger chunks would save no time
SHARE = 0.25  # of the free memory for what a forward pass keeps; the backward pass and the attack need the rest


class Sizable(Protocol):
    """An attack whose number of clips per chunk can be chosen."""

    def of_size(self, size: int) -> "Sizable": ...
    def attacked(self, job: Job, prepared: Prepared) -> Path: ...
    def plan(self, job: Job, prepared: Prepared) -> Plan: ...
    def attacked_network(self, job: Job, prepared: Prepared, device: str) -> Victim: ...


def attacked_in_memory(task: Sizable, job: Job, prepared: Prepared) -> Path:
    """Run an attack with ``batch_size=auto``; half as many clips at once if memory runs out before the first row."""
    size = size_of(task, job, prepared)
    while True:
        sized = task.of_size(size)
        try:
            return sized.attacked(job, prepared)
        except (MemoryError, RuntimeError) as error:
            if not has_run_out(error) or size == 1:
                raise
            folder = sized.plan(job, prepared).folder
            if folder.has_rows():
                raise
        # Here the exception is gone, and with it the tensors that its frames hold.
        folder.discard()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log(f"out of memory with {size} clips at once: beginning again with {size // 2}")
        size //= 2


def size_of(task: Sizable, job: Job, prepared: Prepared) -> int:
    """The clips per chunk: those of the run if it has begun, otherwise as many as fit, in chunks of one size."""
    plan = task.of_size(1).plan(job, prepared)
    for begun in sorted(plan.folder.path.parent.glob("*/begun.json")):
        doing: Any = read_json(begun).get("doing")
        known = doing.get("size") if isinstance(doing, dict) else None
        if type(known) is int and known > 0 and task.of_size(known).plan(job, prepared).folder.path == begun.parent:
            return known
    device = job.runtime.torch_device()
    kept = bytes_per_clip(task.attacked_network(job, prepared, device), job, prepared, plan.order)
    fitting = int(SHARE * free_memory(device) / max(kept, 1))
    size = in_equal_chunks(len(plan.order), min(max(fitting, 1), LARGEST[torch.device(device).type]))
    log(f"batch_size=auto: {size} clips at once (a pass keeps {kept / 2**20:.1f} MB per clip)")
    return size


def in_equal_chunks(clips: int, most: int) -> int:
    """The size of chunks of at most ``most`` clips that need the least filling: 430 clips and 256: 215."""
    return math.ceil(clips / math.ceil(clips / most))


def bytes_per_clip(victim: Victim, job: Job, prepared: Prepared, numbers: list[int]) -> int:
    """The bytes that a forward pass keeps for its backward pass, per clip: their growth from one clip to three."""

    def kept(count: int) -> int:
        batch = load_batch(job.dataset, prepared, [numbers[i % len(numbers)] for i in range(count)]).to(victim.device)
        sizes: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor  # it stays alive, so that no other storage gets its address

        with saved_tensors_hooks(note, lambda tensor: tensor):
            logits = victim.view(batch, "sizing", 0)(batch.x.clone().requires_grad_())
        del logits
        return sum(sizes.values())

    return max((kept(3) - kept(1)) // 2, 0)
