"""The settings of randomized smoothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from skeleton_adv.certificates.spaces import check_space
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, Fraction, Positive, Range, check_call, check_value
from skeleton_adv.core.turning import Up

Confidence = Annotated[float, Range("(0, 0.5)")]


@dataclass(frozen=True)
class Smoothing:
    """The settings of randomized smoothing.

    ``sigma``: the noise, in the unit of ``space``: metres (joints in an image: fractions of the image), the logarithm
    of a factor, or radians. ``n0`` draws choose a class, and ``n`` other draws bound its probability. ``alpha``: the
    probability of a wrong radius. ``paper_alpha``: alpha of the paper's form, which uses the ``n`` draws for both.
    ``clips`` and ``at_once``: clips and draws per pass.
    ``stop``: radii, in the unit of sigma; a clip is over once each of them is decided (``certificates.sequence``), and
    there is no other radius and no paper's form. Empty: all ``n`` draws are made.
    ``space``: what the noise changes (``certificates.spaces``). ``yaw``: noise of yaw beside other noise, in radians,
    about the axis ``up``; ``components``: of dct; ``length`` in frames, ``nugget``, ``joint_scales``: of correlated.
    """

    sigma: Positive = 0.25
    n0: Count = 100
    n: Count = 1000
    alpha: Confidence = 0.001
    paper_alpha: Confidence = 0.05
    clips: Count = 8
    at_once: Count = 16
    stop: Sequence[float] = ()
    space: str = "joints"
    yaw: Positive = 0.25
    up: Up = "y"
    components: Count = 4
    length: Positive = 4.0
    nugget: Fraction = 0.01
    joint_scales: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_call(Smoothing, vars(self), "smoothing.")
        check_space("smoothing.space", self.space)
        if not isinstance(self.stop, list | tuple):
            raise SettingError(f"smoothing.stop={self.stop} must be a list of radii, such as [0.1,0.25,0.5]")
        for radius in self.stop:
            check_value("smoothing.stop", radius, Positive)
        if sorted({*self.stop}) != [*self.stop]:
            raise SettingError(f"smoothing.stop={[*self.stop]} must be in ascending order, each radius once")
