"""Attack, defend and certify skeleton-based action recognition.

    import skeleton_adv as sa

    victim = sa.load_victim("hcn", dataset="synthetic_cs")
    clips = sa.load_clips("synthetic_cs", limit=32)
    result = sa.attack(victim, clips, "admm", beta=1.0)
    print(result.table())

The names below are imported, with torch, when they are first used.
"""

import builtins
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skeleton_adv.api.benchmark import benchmark
    from skeleton_adv.api.clips import Clips, clips, load_clips
    from skeleton_adv.api.listing import list_options as list
    from skeleton_adv.api.plot import plot
    from skeleton_adv.api.result import Certificates, Result, Results
    from skeleton_adv.api.run import attack, certify
    from skeleton_adv.api.victim import Victim, load_victim
    from skeleton_adv.attacks import AttackResult, needs
    from skeleton_adv.core.errors import UserError
    from skeleton_adv.core.skeleton import Skeleton

__version__ = "0.1.0"

# `python -m skeleton_adv` would import any module of the current folder, even one that is named like a library.
# What the command line trusts is searched there later (command/targets.py).
if sys.argv[:1] == ["-m"] and sys.path[:1] == [str(Path.cwd())] and not Path("skeleton_adv").is_dir():
    del sys.path[0]

_PLACES = {  # name -> module, and its name there
    "AttackResult": ("attacks", "AttackResult"),
    "Certificates": ("api.result", "Certificates"),
    "Clips": ("api.clips", "Clips"),
    "Result": ("api.result", "Result"),
    "Results": ("api.result", "Results"),
    "Skeleton": ("core.skeleton", "Skeleton"),
    "UserError": ("core.errors", "UserError"),
    "Victim": ("api.victim", "Victim"),
    "attack": ("api.run", "attack"),
    "benchmark": ("api.benchmark", "benchmark"),
    "certify": ("api.run", "certify"),
    "clips": ("api.clips", "clips"),
    "list": ("api.listing", "list_options"),
    "load_clips": ("api.clips", "load_clips"),
    "load_victim": ("api.victim", "load_victim"),
    "needs": ("attacks", "needs"),
    "plot": ("api.plot", "plot"),
}
__all__ = [  # noqa: RUF022  (in the order of use)
    "load_victim",
    "Victim",
    "load_clips",
    "clips",
    "Clips",
    "Skeleton",
    "attack",
    "certify",
    "benchmark",
    "list",
    "plot",
    "Result",
    "Results",
    "Certificates",
    "UserError",
    "needs",
    "AttackResult",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'skeleton_adv' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    found = getattr(import_module(f"skeleton_adv.{module}"), attribute)
    globals()[name] = found
    return found


def __dir__() -> "builtins.list[str]":
    return sorted({*globals(), *_PLACES})
