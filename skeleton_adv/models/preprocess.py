"""What victims do to their input before the network sees it, as differentiable modules."""

from torch import Tensor, nn

from skeleton_adv.skeleton import Skeleton


class CenterPerFrame(nn.Module):
    """Subtract the first person's centre joint, frame by frame, from every joint of everybody.

    HCN-pytorch's ``origin_transfer``. As there, an absent second person is moved too, from 0 to
    minus the centre: published weights expect it.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        self.joint = skeleton.center

    def forward(self, x: Tensor) -> Tensor:  # (N, C, T, V, M)
        return x - x[:, :, :, self.joint : self.joint + 1, :1]
