"""Film strips and animations of a clip before and after an attack."""

from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skeleton_adv.core.files import write_whole
from skeleton_adv.report.canvas import COLOURS, add_title, new_figure
from skeleton_adv.report.clips_to_draw import Pair
from skeleton_adv.report.words import attack_summary, data_summary, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FRAMES = 6  # of a film strip
CLEAN, ADVERSARIAL, SHADE = COLOURS[0], COLOURS[1], "0.75"


def strip(pair: Pair) -> tuple[pd.DataFrame, "Figure"]:
    """Figures 4, 6 and 7: six frames of a clip; the adversarial row is drawn over a shade of the clean one."""
    places = np.linspace(0, len(pair.frames) - 1, FRAMES).round().astype(int)
    frames = [pair.frames[place] for place in places]
    figure = new_figure(7.2, 3.2)
    grid = figure.subplots(2, FRAMES)
    span = _half_width(pair, frames)
    for column, frame in enumerate(frames):
        for axes in grid[:, column]:
            _set_view(axes, _center(pair, frame), span)
        _draw(grid[0, column], pair, pair.x, frame, CLEAN)
        _draw(grid[1, column], pair, pair.x, frame, SHADE)
        _draw(grid[1, column], pair, pair.x_adv, frame, ADVERSARIAL)
        grid[0, column].set_title(f"frame {frame + 1}", fontsize=6)
    for row, (words, colour) in enumerate(zip(_labels(pair), (CLEAN, ADVERSARIAL), strict=True)):
        grid[row, 0].set_ylabel("\n".join(wrap(words, 22)), fontsize=7, color=colour)
    add_title(figure, _title(pair))
    return _positions(pair, frames), figure


def animate(pair: Pair, path: Path, fps: int = 12) -> Path:
    """Write a GIF: on the left the clean clip, on the right the adversarial one over a shade of the clean one."""
    from matplotlib.animation import FuncAnimation, PillowWriter

    figure = new_figure(5.0, 3.2)
    left, right = figure.subplots(1, 2)
    span = _half_width(pair, pair.frames)
    add_title(figure, _title(pair))

    def show(frame: int) -> list[Any]:
        for axes, layers in (
            (left, [(pair.x, CLEAN)]),
            (right, [(pair.x, SHADE), (pair.x_adv, ADVERSARIAL)]),
        ):
            axes.clear()
            _set_view(axes, _center(pair, frame), span)
            for clip, colour in layers:
                _draw(axes, pair, clip, frame, colour)
        for axes, words, colour in zip((left, right), _labels(pair), (CLEAN, ADVERSARIAL), strict=True):
            axes.set_title(words, fontsize=7, color=colour)
        return []

    with TemporaryDirectory() as folder:
        film = Path(folder) / "film.gif"  # the suffix selects the format
        FuncAnimation(figure, show, pair.frames).save(film, PillowWriter(fps), dpi=100)
        return write_whole(path, film.read_bytes())


def _axes_of(pair: Pair) -> list[int]:
    """The horizontal and the vertical axis: in the normalised space a body is upright along z, elsewhere along y."""
    return [0, 2] if pair.run.space == "normalised" else [0, 1]


def _center(pair: Pair, frame: int) -> np.ndarray:
    """(2,) the center of the box around all existing joints of a frame; 0 if there are none."""
    exists = pair.exists[frame]
    if not exists.any():
        return np.zeros(2)
    seen = pair.x[_axes_of(pair), frame][:, exists]
    center: np.ndarray = (seen.min(axis=1) + seen.max(axis=1)) / 2
    return center


def _half_width(pair: Pair, frames: list[int]) -> float:
    """Half the width of a picture that contains all existing joints in each of these frames."""
    half = 0.0
    for frame in frames:
        for clip in (pair.x, pair.x_adv):
            seen = clip[_axes_of(pair), frame][:, pair.exists[frame]]
            if seen.size:
                half = max(half, float(np.abs(seen - _center(pair, frame)[:, None]).max()))
    return 1.08 * half or 1.0


def _set_view(axes: "Axes", center: np.ndarray, half: float) -> None:
    axes.set_xlim(center[0] - half, center[0] + half)
    axes.set_ylim(center[1] - half, center[1] + half)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw(axes: "Axes", pair: Pair, clip: np.ndarray, frame: int, colour: str) -> None:
    across, up = _axes_of(pair)
    for person in range(clip.shape[3]):
        body = clip[:, frame, :, person]
        for joint, parent in pair.skeleton.bones:
            if pair.exists[frame, [joint, parent], person].all():
                ends = [joint, parent]
                axes.plot(body[across, ends], body[up, ends], color=colour, lw=1.1, solid_capstyle="round")


def _labels(pair: Pair) -> tuple[str, str]:
    """The victim's predictions on the clean and on the adversarial clip, as text."""
    return (
        f"clean, predicted as {pair.class_name('clean_pred')}",
        f"adversarial, predicted as {pair.class_name('adv_pred')}",
    )


def _title(pair: Pair) -> str:
    """The attack, the victim, the clip, and the largest displacement with its joint and frame."""
    frame, joint, _ = np.unravel_index(int(pair.displacement.argmax()), pair.displacement.shape)
    largest, small = 1000 * float(pair.displacement.max()), unit_of([pair.run]).small
    unit = "‰ of the image" if small == "‰" else small
    mean = 1000 * float(pair.displacement[pair.exists].mean())
    attack = attack_summary(pair.run, pair.class_name("target") if pair.record["target"] >= 0 else "")
    clip = f"clip {pair.record['name']} ({pair.class_name('label')}) {data_summary([pair.run])}"
    joint_name = pair.skeleton.joints[joint].replace("_", " ")
    moved = f"largest displacement {largest:.0f} {unit}: {joint_name}, frame {frame + 1}; mean {mean:.1f} {unit}"
    return f"{attack}; {clip}; {moved}"


def _positions(pair: Pair, frames: list[int]) -> pd.DataFrame:
    """One row per existing joint of the drawn frames: its position in the clean and in the adversarial clip."""
    rows = []
    for frame, (joint, person) in ((f, place) for f in frames for place in np.argwhere(pair.exists[f])):
        row = {"frame": frame + 1, "person": person + 1, "joint": pair.skeleton.joints[joint]}
        for axis in pair.skeleton.coords:
            row["xyz"[axis]] = pair.x[axis, frame, joint, person]
            row[f"{'xyz'[axis]}_adv"] = pair.x_adv[axis, frame, joint, person]
        rows.append(row)
    return pd.DataFrame(rows).assign(clip=pair.record["name"], run=pair.run.identity)
