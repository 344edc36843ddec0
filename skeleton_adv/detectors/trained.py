"""Detectors by Massoli et al.: a small network on the distances to class representatives, layer by layer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.ranges import Count, Fraction, Positive, Probability, check_call
from skeleton_adv.detectors import Examples, Score
from skeleton_adv.detectors.distances import Distance, Representative, distances, representatives
from skeleton_adv.models.deep import Deep


class _MLP(nn.Module):
    """(N, S, K) distances -> (N,) logits: one hidden layer."""

    def __init__(self, stages: int, classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(stages * classes, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1)
        )

    def forward(self, embedding: Tensor) -> Tensor:
        logits: Tensor = self.layers(embedding)
        return logits[:, 0]


class _LSTM(nn.Module):
    """(N, S, K) distances -> (N,) logits: the last state of a sequence over the stages."""

    def __init__(self, stages: int, classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(classes, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 1)

    def forward(self, embedding: Tensor) -> Tensor:
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN has no gradient in evaluation mode
            states, _ = self.lstm(embedding)
        logits: Tensor = self.out(states[:, -1])
        return logits[:, 0]


@dataclass(frozen=True)
class Trained:
    """Detection of Face Recognition Adversarial Attacks (Massoli et al., arXiv 1912.02918), Sec. 4 and 5.2.

    The distances of a clip's features to the representatives of all classes, at every stage of the victim, are its
    trajectory; ``network`` classifies it as natural or adversarial. One detector is trained on all attacks at once by
    Adam, with batches in which natural clips and each attack have the same weight; the rate ``lr`` is divided by 10
    when the loss reaches a plateau. Dropout is the MLP's only, as in the paper. Not in the paper: distances are
    standardised by their mean and deviation over the natural clips, and the constants of dropout and plateau.
    """

    supervised: ClassVar[bool] = True

    network: Literal["mlp", "lstm"] = "lstm"
    representative: Representative = "medoid"
    distance: Distance = "cosine"
    hidden: Count = 100
    dropout: Probability = 0.5
    epochs: Count = 150
    batch_size: Count = 256
    lr: Positive = 0.001
    decay: Fraction = 0.1
    patience: Count = 10

    def __post_init__(self) -> None:
        check_call(type(self), vars(self), "detector.")

    def fit(self, examples: Examples, seed: int) -> dict[str, Tensor]:
        """The representatives ``class.<stage>``, mean and deviation of distances, and the weights ``network.<name>``.

        The draws of batches, of the first weights and of dropout depend on ``seed`` only.
        """
        stages = examples.training.stages
        known = [representatives(stage, examples.labels, self.representative, self.distance) for stage in stages]
        parts = [self._embedding(part, known) for part in (examples.natural, *examples.adversarial) if len(part)]
        middle, spread = parts[0].mean(dim=0), parts[0].std(dim=0, correction=0).clamp(min=1e-6)
        x = (torch.cat(parts) - middle) / spread
        truth = torch.cat([torch.full((len(part),), float(place > 0)) for place, part in enumerate(parts)]).to(x)
        weights = torch.cat([torch.full((len(part),), 1 / len(part)) for part in parts])
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            torch.manual_seed(seed)
            network = self._made(len(known), len(known[0])).to(x)
            self._train(network, x, truth, weights, seed)
        found = {f"class.{place}": one for place, one in enumerate(known)} | {"mean": middle, "deviation": spread}
        return found | {f"network.{name}": value.detach() for name, value in network.state_dict().items()}

    def scorer(self, fitted: Mapping[str, Tensor]) -> Score:
        """The logit of the class adversarial."""
        known = [fitted[f"class.{place}"] for place in range(sum(name.startswith("class.") for name in fitted))]
        network = self._made(len(known), len(known[0])).to(known[0])
        weights = {name: value for name, value in fitted.items() if name.startswith("network.")}
        network.load_state_dict({name.removeprefix("network."): value for name, value in weights.items()})
        network.eval().requires_grad_(False)

        def score(deep: Deep) -> Tensor:
            logits: Tensor = network((self._embedding(deep, known) - fitted["mean"]) / fitted["deviation"])
            return logits

        return score

    def _embedding(self, deep: Deep, known: list[Tensor]) -> Tensor:
        """(N, S, K) distances to the representatives (K, D_s) of each stage."""
        pairs = zip(deep.stages, known, strict=True)
        return torch.stack([distances(stage, own, self.distance) for stage, own in pairs], dim=1)

    def _made(self, stages: int, classes: int) -> nn.Module:
        kind = _MLP if self.network == "mlp" else _LSTM
        return kind(stages, classes, self.hidden, self.dropout)

    def _train(self, network: nn.Module, x: Tensor, truth: Tensor, weights: Tensor, seed: int) -> None:
        """Train on distances x (n, S, K), which are drawn with ``weights`` (n,)."""
        optimiser = torch.optim.Adam(network.parameters(), lr=self.lr)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=self.decay, patience=self.patience)
        network.train()
        for chosen in self._epochs(weights, seed):
            total = torch.zeros((), dtype=torch.float64, device=x.device)  # a GPU waits once per epoch
            for start in range(0, len(chosen), self.batch_size):
                numbers = chosen[start : start + self.batch_size]
                optimiser.zero_grad()
                loss = F.binary_cross_entropy_with_logits(network(x[numbers]), truth[numbers])
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                total += loss.detach().double() * len(numbers)
            plateau.step(float(total) / len(chosen))

    def _epochs(self, weights: Tensor, seed: int) -> Iterator[Tensor]:
        """The clips of each epoch, as many as there are, drawn with replacement."""
        rng = torch.Generator().manual_seed(seed)
        for _ in range(self.epochs):
            yield torch.multinomial(weights, len(weights), replacement=True, generator=rng)
