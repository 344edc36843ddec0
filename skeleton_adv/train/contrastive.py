"""Contrastive training of an encoder on unlabelled clips: Hard No-Box."""

from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, Fraction, Positive, Probability
from skeleton_adv.data.clips import Dataset
from skeleton_adv.models.contrastive_encoder import SequenceEncoder
from skeleton_adv.models.network import Network
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.training import Training
from skeleton_adv.train.views import view_of

LONGEST = 16384  # the paper's queues


@dataclass(frozen=True)
class Contrastive(Training):
    """The encoder of Hard No-Box (Lu et al., arXiv 2308.05681): contrastive learning with two encoders.

    The encoders are the network, a graph encoder, and a bidirectional GRU. Each has a key network, whose weights follow
    it slowly. A query of one encoder must be closest to the other encoder's key of another view of its clip, among keys
    of earlier clips, which are in two queues (Thoker et al., arXiv 2108.03656, after MoCo, He et al., arXiv
    1911.05722). Labels are not used, and only the graph encoder is kept.

    - ``hidden``, ``layers``: of the GRU; the paper has 1024 and 3
    - ``queue``: keys per queue; None: half of the training clips, at most the paper's 16,384. A longer queue contains
      keys of the query's own clip
    - ``dim``: of queries and keys
    - ``temperature``: by which cosines are divided
    - ``momentum``: of the key networks; the paper has 0.999, with which they hardly move in a thousand steps
    - ``crop``: the smallest share of a clip's frames in a view; the released code has 0.1, but at least 64 frames

    Differs from the released code: views are made of clips of ``num_frames`` frames after the network's preprocessing,
    and the GRU is that of ``SequenceEncoder``.
    """

    hidden: Count = 256
    layers: Count = 3
    queue: Count | None = None
    dim: Count = 128
    temperature: Positive = 0.07
    momentum: Probability = 0.99
    crop: Fraction = 0.5
    name = "contrastive"
    supervised: ClassVar[bool] = False

    def check(self, recipe: Recipe) -> None:
        if recipe.held_out:
            raise SettingError(
                f"recipe.held_out={recipe.held_out} chooses the number of epochs by accuracy, but training=contrastive "
                "uses no labels: set recipe.held_out=0.0"
            )

    def start(self, network: nn.Module, dataset: Dataset, clips: int) -> "InterSkeleton":
        if not isinstance(network, Network):
            raise SettingError(f"training=contrastive requires a network with preprocessing, not {network}")
        x = torch.zeros(
            1, dataset.skeleton.channels, dataset.num_frames, dataset.skeleton.num_joints, dataset.num_persons
        )
        with torch.no_grad():
            prepared = network.eval().preprocess(x)
            if not isinstance(prepared, Tensor):
                raise SettingError("training=contrastive requires preprocessing that returns only clips")
            features = network.model(prepared).shape[1]
        queue = max(min(clips // 2, LONGEST), 1) if self.queue is None else self.queue
        _, c, _, v, m = prepared.shape
        return InterSkeleton(network, features, SequenceEncoder(c * v * m, self.hidden, self.layers, self.dim), queue)

    def finish(self, trained: nn.Module, optimiser: torch.optim.Optimizer) -> nn.Module:
        assert isinstance(trained, InterSkeleton)
        return trained.network

    def loss(self, model: nn.Module, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        assert isinstance(model, InterSkeleton)
        with torch.no_grad():
            clips = model.network.preprocess(batch.x)
            first, second = (view_of(clips, batch.skeleton.coords, self.crop) for _ in range(2))
        return model.contrast(first, second, self.momentum, self.temperature)


class InterSkeleton(nn.Module):
    """The query and key networks of ``Contrastive`` and the queues of keys; a training's state contains all of them."""

    graph_queue: Tensor  # (K, dim) of length 1, as all queries and keys
    sequence_queue: Tensor
    place: Tensor  # () the oldest entry of both queues

    def __init__(self, network: Network, features: int, sequence: SequenceEncoder, queue: int) -> None:
        super().__init__()
        dim = sequence.fc.out_features
        self.network, self.sequence = network, sequence
        self.head = nn.Linear(features, dim)
        self.keys = nn.ModuleList(deepcopy(part).requires_grad_(False) for part in self._queries)
        for name in ("graph_queue", "sequence_queue"):
            self.register_buffer(name, F.normalize(torch.randn(queue, dim), dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))

    @property
    def _queries(self) -> tuple[nn.Module, nn.Module, nn.Module]:
        return self.network.model, self.head, self.sequence

    def contrast(self, first: Tensor, second: Tensor, momentum: float, temperature: float) -> Tensor:
        """The loss of two views (N, C, T, V, M) of the same clips; updates the key networks and the queues."""
        by_graph, by_sequence = _encoded(self._queries, first)
        with torch.no_grad():
            self._follow(momentum)
            graph_keys, sequence_keys = _encoded((self.keys[0], self.keys[1], self.keys[2]), second)
            queues = self.graph_queue.clone(), self.sequence_queue.clone()
            self._append(graph_keys, sequence_keys)
        losses = [
            recognised(by_sequence, graph_keys, queues[0], temperature),
            recognised(by_graph, sequence_keys, queues[1], temperature),
        ]
        return torch.stack(losses).sum()

    def _follow(self, momentum: float) -> None:
        """Move the key networks towards the queries; statistics of batch normalisation are each network's own."""
        queries = chain.from_iterable(part.parameters() for part in self._queries)
        for key, query in zip(self.keys.parameters(), queries, strict=True):
            key.mul_(momentum).add_(query, alpha=1 - momentum)

    def _append(self, graph_keys: Tensor, sequence_keys: Tensor) -> None:
        """Replace the oldest keys."""
        size = len(self.graph_queue)
        at = (self.place + torch.arange(min(len(graph_keys), size), device=self.place.device)) % size
        self.graph_queue[at], self.sequence_queue[at] = graph_keys[-len(at) :], sequence_keys[-len(at) :]
        self.place.copy_((self.place + len(at)) % size)


def recognised(queries: Tensor, keys: Tensor, others: Tensor, temperature: float) -> Tensor:
    """The mean InfoNCE loss: each of ``queries`` (N, F) must find its own of ``keys`` among ``others`` (K, F)."""
    own = (queries * keys).sum(dim=1, keepdim=True)
    logits = torch.cat([own, queries @ others.T], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def _encoded(parts: tuple[nn.Module, nn.Module, nn.Module], x: Tensor) -> tuple[Tensor, Tensor]:
    """(N, dim) by the graph encoder with its head, and by the sequence encoder, of length 1."""
    graph, head, sequence = parts
    return F.normalize(head(graph(x)), dim=1), F.normalize(sequence(x), dim=1)
