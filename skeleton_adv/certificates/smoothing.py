"""The settings of randomized smoothing."""

from dataclasses import dataclass
from typing import Annotated

from skeleton_adv.core.ranges import Count, Positive, Range, check_call

Confidence = Annotated[float, Range("(0, 0.5)")]


@dataclass(frozen=True)
class Smoothing:
    """The settings of randomized smoothing.

    ``sigma``: the noise, in metres (joints in an image: fractions of the image). ``n0`` draws choose a class, and
    ``n`` other draws bound its probability. ``alpha``: the probability of a wrong radius. ``paper_alpha``: alpha of
    the paper's form, which uses the ``n`` draws for both. ``clips`` and ``at_once``: clips and draws per pass.
    """

    sigma: Positive = 0.25
    n0: Count = 100
    n: Count = 1000
    alpha: Confidence = 0.001
    paper_alpha: Confidence = 0.05
    clips: Count = 8
    at_once: Count = 16

    def __post_init__(self) -> None:
        check_call(Smoothing, vars(self), "smoothing.")
