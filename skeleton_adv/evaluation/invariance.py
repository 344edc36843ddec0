"""Whether a victim sees the direction in which a body faces."""

import math

import torch

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.turning import Up, first_root, turned
from skeleton_adv.models.victim import Victim

TURNS = (45, 90, 180, -90)  # degrees
TOLERANCE = 1e-2  # of the largest logit, for rounding


def is_yaw_invariant(victim: Victim, batch: SkeletonBatch, up: Up, seed: int) -> bool:
    """Whether rotations about a vertical axis leave the logits of these clips as they are, as measured.

    Those of a victim that rotates each clip itself (2s-AGCN's pre-normalisation) differ by rounding only; a certificate
    of yaw then says nothing that is not true of every rotation.
    """
    with torch.no_grad():
        clean = victim.view(batch, "yaw", seed)(batch.x)
        limit = TOLERANCE * clean.abs().amax(dim=1)
        for degrees in TURNS:
            angle = torch.full_like(batch.x[:, 0, 0, 0, 0], math.radians(degrees))
            moved = victim.view(batch, "yaw", seed)(turned(batch, angle, first_root(batch), up))
            if not bool(((moved - clean).abs().amax(dim=1) <= limit).all()):
                return False
    return True
