"""``sa.plot``: a picture of a result."""

from typing import TYPE_CHECKING

from skeleton_adv.api.result import Certificates, Result, Results
from skeleton_adv.core.errors import RunError
from skeleton_adv.report.clips_to_draw import find_clip, load_pairs
from skeleton_adv.report.figures import certified_accuracy, robust_accuracy, success_by_l2
from skeleton_adv.report.film import strip

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(result: Result | Results | Certificates, clip: int | str | None = None) -> "Figure":
    """A Matplotlib figure of a result; ``figure.savefig("result.png")`` writes it.

    - a ``Result`` and a ``clip``, by its position (from 0) or name: a film strip, clean above adversarial
    - a ``Result``: the share of clips that fool the victim, by l2
    - ``Results``: accuracy by the value that differs
    - ``Certificates``: certified accuracy by radius

    Raises ``RunError`` if there is no such clip.
    """
    if not isinstance(result, Result | Results | Certificates):
        raise RunError(f"sa.plot draws results, not {type(result).__name__}: pass what sa.attack or sa.certify returns")
    if clip is not None and not isinstance(result, Result):
        raise RunError(f"clip={clip} needs the result of one attack: name one of several, such as results[0]")
    if isinstance(result, Results) and not result.has_curve:
        return next(iter(success_by_l2.draw([one.run for one in result])))[1]
    if isinstance(result, Results):
        drawing = robust_accuracy.draw_by([one.run for one in result], result.swept[0])
        return next(iter(drawing))[1]
    if isinstance(result, Certificates):
        return next(iter(certified_accuracy.draw([result.run])))[1]
    if clip is None:
        return next(iter(success_by_l2.draw([result.run])))[1]
    names = result.names
    clip = clip if isinstance(clip, str) else int(clip)
    if isinstance(clip, int) and not 0 <= clip < len(names):
        raise RunError(f"clip={clip} is out of range: the result has clips 0 to {len(names) - 1}")
    name = names[clip] if isinstance(clip, int) else clip
    numbers = find_clip(result.run, name)
    if not numbers:
        raise RunError(f"clip={clip} is not among the {len(names)} clips, such as {names[0]}")
    (pair,) = load_pairs(result.run, numbers[:1])
    return strip(pair)[1]
