"""Figures 4, 6 and 7: film strips of clips before and after an attack."""

from collections.abc import Iterator, Sequence

from skeleton_adv.report.clips_to_draw import examples, has_clips, load_pairs
from skeleton_adv.report.draw import Drawing, Picture, attack_file_name
from skeleton_adv.report.film import strip
from skeleton_adv.runs.load import Run

MOST = 3  # film strips per run


def draw(runs: Sequence[Run]) -> Iterator[Picture]:
    """Film strips of a few clips of one run that are correct before and fooled."""
    for pair in load_pairs(runs[0], examples(runs[0], MOST)):
        yield *strip(pair), f"_{pair.record['name']}"


FIGURE = Drawing(
    after="films",
    takes=lambda run: run.kind == "attack" and has_clips(run),
    name=lambda run: f"film_{attack_file_name(run)}",
    apart=lambda run: run.identity,
    draw=draw,
)
