"""What all figures share: colours, an empty figure, a title, and files for print, screen and recomputation."""

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import pandas as pd

from skeleton_adv.core.files import whole, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can distinguish; lines also differ in marker or dash.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of this size in inches; it requires no window system."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def add_title(figure: "Figure", text: str) -> None:
    """Add a title above the figure, wrapped to its width."""
    figure.suptitle("\n".join(wrap(text, int(17 * figure.get_figwidth()), break_on_hyphens=False)), fontsize=7)


def shorten(name: str, most: int = 32) -> str:
    """A name for a tick of an axis, cut to this number of characters."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def save_figure(frame: pd.DataFrame, figure: "Figure", folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and PDF and its numbers as CSV, each whole or not at all; return the files."""
    paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf", "csv")]
    with whole(paths[0]) as part:
        figure.savefig(part, format="png", dpi=200)
    with whole(paths[1]) as part:
        figure.savefig(part, format="pdf", metadata={"CreationDate": None})
    write_whole(paths[2], frame.to_csv(index=False, float_format="%.6g"))
    return paths
