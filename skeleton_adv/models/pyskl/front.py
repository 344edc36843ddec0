"""The preprocessing of pyskl's recognisers."""

from collections.abc import Sequence

from torch import Tensor, nn

from skeleton_adv.core.batch import Context
from skeleton_adv.core.ranges import Count, check_value, checked
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.models.pyskl.features import Feature
from skeleton_adv.models.pyskl.normalise import PreNormalize2D, PreNormalize3D
from skeleton_adv.models.pyskl.sampling import numbers_of, sampled
from skeleton_adv.models.streams import Stream


class Front(nn.Module):
    """pyskl's test pipeline (arXiv 2205.09443), from camera metres to the input of its networks.

    Clips (N, C, T, V, M) are normalised, turned into the features of a ``stream`` and sampled at ``length`` frames;
    only existing frames are sampled, and their choice is constant for each clip. An attack receives ``clips`` samplings
    of each clip, every other purpose ``judged_clips``; the network returns the mean of their softmax. With one, the
    output is (N, C, length, V, M), else (N, clips, C, length, V, M). With several streams, it is a tuple with one
    entry per stream. In training, sampled frames are random.

    - ``half``: whether clips are rounded to float16, like pyskl's files (``PreNormalize3D``)
    - ``align_spine``: whether clips are rotated (false for DG-STGCN)
    - ``decode``: whether short clips are sampled from a random start (DG-STGCN)

    Clips in an image are only scaled (``PreNormalize2D``), and ``half`` and ``align_spine`` have no effect.
    """

    takes_context = True

    @checked
    def __init__(
        self,
        skeleton: Skeleton,
        stream: Stream | Sequence[Stream] = "joint",
        length: Count = 100,
        clips: Count = 1,
        judged_clips: Count = 10,
        half: bool = True,
        align_spine: bool = True,
        decode: bool = False,
    ) -> None:
        super().__init__()
        flat = len(skeleton.coords) < 3
        self.normalise = PreNormalize2D(skeleton) if flat else PreNormalize3D(skeleton, half, align_spine)
        streams: Sequence[Stream] = [stream] if isinstance(stream, str) else stream
        for one in streams:
            check_value("preprocess.stream", one, Stream)
        # After a rotation, pyskl's arrays are float64, and differences are no longer rounded.
        rounds = half and not align_spine and not flat
        self.features = nn.ModuleList(Feature(skeleton, one, rounds) for one in streams)
        self.length, self.clips, self.judged_clips, self.decode = length, clips, judged_clips, decode
        self.single = isinstance(stream, str)

    @property
    def log_probabilities(self) -> bool:
        """Whether attacks see the log of a mean of probabilities instead of logits."""
        return self.clips > 1

    @property
    def remark(self) -> str:
        """How attacks sample a clip less often than judgements; empty if they do not."""
        if self.clips >= self.judged_clips:
            return ""
        return (
            f"attacks see {self.clips} sampling of {self.length} frames per clip, but judgements average the softmax "
            f"of {self.judged_clips}: to attack the whole victim, set preprocess.clips={self.judged_clips}, which "
            f"takes {self.judged_clips} passes"
        )

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor | tuple[Tensor, ...]:
        clips = self.clips if context is None or context.purpose in ("attack", "fit") else self.judged_clips
        x, count = self.normalise(x)
        numbers = numbers_of(count, self.length, clips, self.decode, self.training)
        found = [sampled(feature(x, count), numbers) for feature in self.features]
        streams = tuple(one[:, 0] if clips == 1 else one for one in found)
        return streams[0] if self.single else streams
