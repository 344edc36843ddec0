"""Whole commands, as a user runs them."""

import os
import subprocess
import sys
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

ENV = {**os.environ, "OMP_NUM_THREADS": "1"}
SECONDS = 240
SERVER = get_context("forkserver")
# Modules that take seconds to import, some of them only when work begins; those of tests are not on the server's path.
SERVER.set_forkserver_preload(
    [
        *("pytest", "hydra", "skeleton_adv.__main__", "skeleton_adv.tables", "skeleton_adv.figures"),
        *("skeleton_adv.command.build", "skeleton_adv.command.words", "skeleton_adv.export"),
        *(f"skeleton_adv.tasks.{name}" for name in ("attack", "certify", "export", "gap", "prepare", "train")),
        *("torch._dynamo", "safetensors.torch", "scipy.io", "scipy.stats", "numpy.random", "pandas"),
        *("matplotlib.figure", "matplotlib.animation", "matplotlib.backends.backend_agg"),
    ]
)


def run(folder: Path, *arguments: str, module: str = "skeleton_adv") -> subprocess.CompletedProcess[str]:
    """Run a command in a new process."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, timeout=SECONDS, check=False)


def forked(folder: Path, *arguments: str, module: str = "skeleton_adv") -> subprocess.CompletedProcess[str]:
    """Run a command in a fork of a process that has imported everything, which saves most of a short command's time.

    The server never computes, so its forks have no threads to inherit.
    """
    with TemporaryDirectory() as place:
        out, err = Path(place) / "out", Path(place) / "err"
        process = SERVER.Process(target=_main, args=(folder, arguments, module, out, err))
        process.start()
        process.join(SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
            raise TimeoutError(f"{' '.join(arguments)} takes more than {SECONDS} s")
        assert process.exitcode is not None
        return subprocess.CompletedProcess([*arguments], process.exitcode, out.read_text(), err.read_text())


def _main(folder: Path, arguments: tuple[str, ...], module: str, out: Path, err: Path) -> None:
    import torch  # so that reading this file does not

    os.chdir(folder)
    os.environ.update(ENV)
    torch.set_num_threads(1)
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        with open(path, "wb", buffering=0) as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.path.insert(0, str(Path.cwd()))
    sys.argv = [module, *arguments]
    import_module("skeleton_adv.__main__" if module == "skeleton_adv" else module).main()
