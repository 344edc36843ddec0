"""The encoders of Hard No-Box, which learn features of clips without labels."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from skeleton_adv.core.ranges import Count, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models.agcn import AGCN, Width


class ContrastiveEncoder(AGCN):
    """The graph encoder of Hard No-Box (Lu et al., arXiv 2308.05681): 2s-AGCN's joint stream without its last layer.

    Input (N, C, T, V, M) of any T; the outputs are features (N, 4 width), not logits: the mean of the last unit over
    frames, joints and persons. ``num_classes`` has no effect.
    """

    layers: ClassVar[Mapping[str, bool]] = {name: of for name, of in AGCN.layers.items() if name != "fc"}
    returns_features: ClassVar[bool] = True

    @checked
    def __init__(
        self,
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
        width: Width = 64,
    ) -> None:
        super().__init__(skeleton, num_classes, num_persons, channels, width)
        self.fc = nn.Identity()  # type: ignore[assignment]


class SequenceEncoder(nn.Module):
    """The sequence encoder of Hard No-Box, a bidirectional GRU, which is used in training only.

    Input (N, C, T, V, M), of which every frame is one vector of ``inputs`` numbers; output (N, ``outputs``). Matrices
    are initialised as in Glorot and Bengio (AISTATS 2010). Differs from the released code: there, the backward half
    also runs forward in time; here it runs backward, and the last state of both halves is taken.
    """

    @checked
    def __init__(self, inputs: Count, hidden: Count, layers: Count, outputs: Count) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, hidden, layers, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * hidden, outputs)
        for weight in self.parameters():
            if weight.dim() == 2:
                nn.init.xavier_uniform_(weight)

    def forward(self, x: Tensor) -> Tensor:
        _, last = self.gru(x.permute(0, 2, 1, 3, 4).flatten(2))
        encoded: Tensor = self.fc(torch.cat([last[-2], last[-1]], dim=1))
        return encoded
