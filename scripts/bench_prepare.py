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
from skeleton_adv.data.ntu import NTU
from skeleton_adv.data.store import prepare
if __name__ == "__main__":
    began = time.perf_counter()
    prepare(NTU(sys.argv[1]), Path(sys.argv[2]), workers=int(sys.argv[3]))
    seconds = time.perf_counter() - began
    peaks = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(seconds, *peaks)
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


def prepared(folder: Path, workers: int) -> tuple[float, float, float]:
    """Seconds, and the peaks of the memory of the main process and of its largest reader in MB."""
    with tempfile.TemporaryDirectory() as cache:
        script = Path(cache) / "measured.py"
        script.write_text(MEASURED)
        command = [sys.executable, str(script), str(folder), cache, str(workers)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, own, reader = map(float, answer.stdout.split())
    return seconds, own, reader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder, arguments.files)
        sample = sorted(folder.glob("*.skeleton"))[:100]
        began = time.perf_counter()
        for path in sample:
            _line_by_line(path, path.read_bytes())
        plain = len(sample) / (time.perf_counter() - began)
        rates = {}
        for workers in sorted({1, arguments.workers}):
            seconds, own, reader = prepared(folder, workers)
            rates[workers] = arguments.files / seconds
            print(
                f"preparation, {workers} processes: {rates[workers]:.0f} files/s, {rates[workers] / plain:.1f} x the plain "
                f"reader; peak memory {own:.0f} MB, reader {reader:.0f} MB"
            )
        print(f"plain reader, one process, reading alone: {plain:.0f} files/s")
        for path in sorted(folder.glob("*.skeleton"))[arguments.files // 2 :]:
            path.unlink()
        _, own, reader = prepared(folder, arguments.workers)
        print(f"half of the files, {arguments.workers} processes: peak memory {own:.0f} MB, reader {reader:.0f} MB")


if __name__ == "__main__":
    main()
