"""Attack, defend and certify skeleton-based action recognition."""

import sys
from pathlib import Path

__version__ = "0.1.0"

# `python -m skeleton_adv` would import any module of the current folder, even one that is named like a library.
# What the command line trusts is searched there later (command/targets.py).
if sys.argv[:1] == ["-m"] and sys.path[:1] == [str(Path.cwd())] and not Path("skeleton_adv").is_dir():
    del sys.path[0]
