"""Memory that is free, memory that the process keeps, and memory that runs out."""

import ctypes
import os
import sys
from pathlib import Path

# Parameters of glibc's mallopt (malloc.h).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next tensor of that size.

    Each pass over clips allocates and frees the same tensors as the one before. By default glibc returns
    them to the system, which clears their pages again: on two cores this makes HCN's passes 1.38 to 1.44
    times as slow. The process keeps its peak size. No effect with other C libraries.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)
        mallopt(_TOP_PAD, 64 << 20)


def has_run_out(error: BaseException) -> bool:
    """Whether an error means that the memory of the device, or of the machine, does not suffice."""
    import torch  # so that preparing data does not

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)


def free_memory(device: str) -> int:
    """The bytes that are free: on a GPU by its driver, otherwise for this process, whose cgroup may have a limit."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return max(min([free, *_cgroup_free()]), 0)


def _cgroup_free() -> list[int]:
    """The bytes that are left of each limit on this process's cgroups (version 2), as Slurm and containers set."""
    root, found = Path("/sys/fs/cgroup"), []
    try:
        own = root / Path("/proc/self/cgroup").read_text().strip().rpartition("::/")[2]
        for group in (own, *own.parents):
            if group.is_relative_to(root) and (limit := group / "memory.max").exists():
                most = limit.read_text().strip()
                if most != "max":
                    found.append(int(most) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return found
