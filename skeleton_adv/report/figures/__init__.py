"""The figures. Each module here declares one as ``FIGURE`` and is found automatically."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from skeleton_adv.report.draw import Drawing

FIGURES: tuple[Drawing[Any], ...] = tuple(
    import_module(f"{__name__}.{module.name}").FIGURE for module in sorted(iter_modules(__path__), key=lambda m: m.name)
)
