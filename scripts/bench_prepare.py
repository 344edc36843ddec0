"""Files per second and peak memory of the preparation of NTU RGB+D, beside a reader that goes line by line.

    python scripts/bench_prepare.py --files 2000

The files are made here, in the format of the official ones: 80 frames of one or two bodies. Preparation is measured
in new processes, as a user runs it: imports, listing, reading, checking, digests and writing.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from skeleton_adv.data.ntu import _line_by_line, write_skeleton_file

FRAMES = 80
MEASURED = """
import resource, sys, time
from pathlib import Path
from skeleton_adv.core.memory import keep_freed_memory
from skeleton_adv.data.ntu import NTU
from skeleton_adv.data.store import prepare
if __name__ == "__main__":
    keep_freed_memory()
    began = time.perf_counter()
    prepare(NTU(sys.argv[1]), Path(sys.argv[2]), workers=int(sys.argv[3]))
    seconds = time.perf_counter() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(seconds, sum(one.ru_utime + one.ru_stime for one in used), *(one.ru_maxrss / 1024 for one in used))
"""


def make(folder: Path, count: int) -> None:
    """Write files of different names and a few different contents."""
    rng = np.random.default_rng(0)
    contents = []
    for number in range(8):
        listed = np.ones((FRAMES, 1 + number % 2), dtype=bool)
        path = folder / "made"
        write_skeleton_file(path, rng.normal(size=(*listed.shape, 25, 3)), listed)
        text = path.read_text().replace(" 0 0 0 0 0 0 0 1 2\n", " 221.9 167.4 974.9 428.6 -0.21 -0.04 0.97 0.03 2\n")
        contents.append(text)
        path.unlink()
    for number in range(count):
        name = f"S{1 + number // 7200:03}C{1 + number // 2400 % 3:03}P{1 + number // 60 % 40:03}R001"
        (folder / f"{name}A{1 + number % 60:03}.skeleton").write_text(contents[number % 8])


def prepared(folder: Path, workers: int) -> list[float]:
    """Seconds, seconds of CPU time, and the peaks of the memory of the main process and of its largest reader in MB."""
    with tempfile.TemporaryDirectory() as cache:
        script = Path(cache) / "measured.py"
        script.write_text(MEASURED)
        command = [sys.executable, str(script), str(folder), cache, str(workers)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(value) for value in answer.stdout.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder, arguments.files)
        files = sorted(folder.glob("*.skeleton"))
        began, used = time.perf_counter(), time.process_time()
        for path in files[:100]:
            _line_by_line(path, path.read_bytes())
        plain, plain_cpu = (time.perf_counter() - began) / 100, (time.process_time() - used) / 100
        print(f"plain reader, one process: {1 / plain:.0f} files/s, {1000 * plain_cpu:.1f} ms of CPU time per file")
        for workers in sorted({1, arguments.workers}):
            seconds, cpu, own, reader = prepared(folder, workers)
            rate, each = len(files) / seconds, cpu / len(files)
            print(
                f"preparation, {workers} processes: {rate:.0f} files/s ({rate * plain:.1f} x), {1000 * each:.1f} ms of "
                f"CPU time per file ({plain_cpu / each:.1f} x less); peak memory {own:.0f} MB, reader {reader:.0f} MB"
            )
        for path in files[len(files) // 2 :]:
            path.unlink()
        *_, own, reader = prepared(folder, arguments.workers)
        print(f"half of the files, {arguments.workers} processes: peak memory {own:.0f} MB, reader {reader:.0f} MB")


if __name__ == "__main__":
    main()
