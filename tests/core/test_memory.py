"""Freed memory is reused without page faults."""

import subprocess
import sys

import pytest

# Page faults of allocating and freeing 48 MiB twenty times, after the first time.
FAULTS = """
import resource
from skeleton_adv.core.memory import keep_freed_memory
if {kept}:
    keep_freed_memory()
bytes_of_x = b"x" * (48 << 20)
del bytes_of_x
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    bytes_of_x = b"x" * (48 << 20)
    del bytes_of_x
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's mallopt")
def test_freed_memory_is_reused() -> None:
    faults = {}
    for kept in (False, True):
        answer = subprocess.run(
            [sys.executable, "-c", FAULTS.format(kept=kept)], capture_output=True, text=True, check=True
        )
        faults[kept] = int(answer.stdout)
    assert faults[True] < 0.1 * faults[False]
