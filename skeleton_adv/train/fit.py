"""Fit a victim: choose the number of epochs on a tenth of the training clips, then refit on all of them."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.ranges import Count, Fraction, NonNegative, Positive, Probability, check_call
from skeleton_adv.data.clips import Dataset, Prepared, load_batch, random_crop, resample
from skeleton_adv.models.network import Network

Log = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """How a victim is trained.

    ``schedule``: ``exponential`` multiplies the rate by ``gamma`` after every epoch, ``steps`` at every epoch in
    ``milestones``, ``cosine`` lets it fall to 0 at the last epoch. ``crop``: the least part of a clip that a
    training window keeps. ``rotation``: largest angles in degrees about x, y and z, drawn uniformly for each clip.
    ``random_move``: x and y of each clip turn, grow and drift over its frames, see ``moved``. ``clip_norm``:
    largest norm of a gradient. ``dropout``: of every dropout layer (None: the model's own). ``held_out``: the share
    of training clips on which the number of epochs is chosen (0: all ``epochs`` run). ``half``: the weights are
    stored as float16. ``noise_warmup``: the share of the epochs in which training noise grows to its deviation.
    """

    epochs: Count = 400
    batch_size: Count = 64
    optimiser: Literal["adam", "sgd"] = "adam"
    lr: Positive = 1e-3
    momentum: Probability = 0.9
    weight_decay: NonNegative = 1e-4
    schedule: Literal["exponential", "steps", "cosine"] = "exponential"
    gamma: Fraction = 0.99
    milestones: Sequence[int] = ()
    clip_norm: Positive | None = 32.0
    label_smoothing: Probability = 0.0
    dropout: Probability | None = None
    crop: Fraction = 0.5
    rotation: Sequence[float] = (0.0, 0.0, 0.0)
    random_move: bool = False
    held_out: Probability = 0.1
    half: bool = True
    noise_warmup: Probability = 0.0

    def __post_init__(self) -> None:
        check_call(Recipe, vars(self), "recipe.")
        if len(self.rotation) != 3 or not all(isinstance(angle, int | float) for angle in self.rotation):
            raise SettingError(f"recipe.rotation={list(self.rotation)} must hold three angles, in degrees")
        if not all(isinstance(epoch, int) for epoch in self.milestones):
            raise SettingError(f"recipe.milestones={list(self.milestones)} must be epochs, whole numbers")

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        if self.schedule == "exponential":
            return self.lr * self.gamma**epoch
        if self.schedule == "steps":
            return float(self.lr * self.gamma ** sum(epoch >= milestone for milestone in self.milestones))
        return self.lr * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))

    def noise_share(self, epoch: int) -> float:
        """What part of the training noise's deviation an epoch, counted from 0, has."""
        return min(1.0, (epoch + 1) / max(self.noise_warmup * self.epochs, 1))


@dataclass
class Progress:
    """Where a training stands after its last whole epoch; what a resumed one starts from."""

    phase: Literal["select", "refit", "done"] = "select"
    epoch: int = 0
    held_out: tuple[float, ...] = ()  # accuracy on the held-out clips after each epoch

    @property
    def chosen(self) -> int:
        """Epochs for the refit: the last best of the held-out accuracies, smoothed over five epochs."""
        if not self.held_out:
            return 0
        smooth = [float(np.mean(self.held_out[max(0, e - 4) : e + 1])) for e in range(len(self.held_out))]
        return max(range(len(smooth)), key=lambda e: (smooth[e], e)) + 1


def fit(
    build: Callable[[], nn.Module],
    dataset: Dataset,
    prepared: Prepared,
    recipe: Recipe,
    *,
    seed: int,
    device: str,
    scratch: Path,
    log: Log,
    noise: float = 0.0,
) -> tuple[nn.Module, Progress]:
    """Train ``build()`` by ``recipe``, test clips unread; return it with the course of its held-out accuracy.

    ``noise`` is the deviation of Gaussian noise on every existing joint of every clip, in its unit. ``scratch``
    receives the state after every epoch: a killed training ends with the weights that it would have had.
    """
    train, held_out = _training_clips(dataset, prepared, recipe, seed)
    model, optimiser, progress = _restore(build, recipe, seed, device, scratch)
    while progress.phase != "done":
        selecting = progress.phase == "select"
        clips = [i for i in train if i not in held_out] if selecting else train
        last = recipe.epochs if selecting else (progress.chosen or recipe.epochs)
        if (selecting and not held_out) or progress.epoch == last:
            progress.phase = "refit" if selecting else "done"
            if selecting:
                progress.epoch = 0
                model, optimiser = _fresh(build, recipe, seed, device)
            continue
        where = (seed, progress.phase, progress.epoch)
        loss = _one_epoch(model, optimiser, dataset, prepared, clips, recipe, where, noise)
        text = f"{progress.phase} epoch {progress.epoch + 1}/{last} loss {loss:.3f}"
        if selecting:
            hits = correct(model, dataset, prepared, sorted(held_out), recipe.batch_size)
            progress.held_out += (sum(hits) / len(hits),)
            text += f" held-out accuracy {100 * progress.held_out[-1]:.1f} %"
        progress.epoch += 1
        _save(scratch, model, optimiser, progress)
        log(text)
    return model.eval(), progress


def correct(
    model: nn.Module, dataset: Dataset, prepared: Prepared, numbers: Sequence[int], batch_size: int
) -> list[bool]:
    """Whether the model is right, for each of these clips."""
    model.eval()
    hits: list[bool] = []
    with torch.no_grad():
        for start in range(0, len(numbers), batch_size):
            batch = load_batch(dataset, prepared, numbers[start : start + batch_size]).to(_device(model))
            hits += (model(batch.x).argmax(dim=1) == batch.y).tolist()
    return hits


def _one_epoch(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    dataset: Dataset,
    prepared: Prepared,
    clips: list[int],
    recipe: Recipe,
    where: tuple[int, str, int],
    noise: float,
) -> float:
    rng, noise = random.Random(repr(where)), noise * recipe.noise_share(where[2])
    order = rng.sample(clips, len(clips))
    for group in optimiser.param_groups:
        group["lr"] = recipe.rate(where[2])
    model.train()
    device, total = _device(model), torch.zeros((), device=_device(model))
    # Dropout draws from the global generator: seeded for each epoch, and left as it was found.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(rng.getrandbits(48))
        for start in range(0, len(order), recipe.batch_size):
            x, y = _training_batch(dataset, prepared, order[start : start + recipe.batch_size], recipe, rng, noise)
            loss = training_loss(model, x.to(device), y.to(device), recipe)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimiser.step()
            total += loss.detach() * len(y)
    return float(total) / len(order)


def training_loss(model: nn.Module, x: Tensor, y: Tensor, recipe: Recipe) -> Tensor:
    """Cross-entropy; a model of several streams learns each for itself, so theirs are added."""
    streams = model.streams(x) if isinstance(model, Network) else (model(x),)
    losses = [F.cross_entropy(logits, y, label_smoothing=recipe.label_smoothing) for logits in streams]
    return torch.stack(losses).sum()


def _training_batch(
    dataset: Dataset, prepared: Prepared, numbers: list[int], recipe: Recipe, rng: random.Random, noise: float
) -> tuple[Tensor, Tensor]:
    """Clips (N, C, T, V, M) and labels (N,), each clip cropped, rotated, moved and made noisy at random."""
    x = []
    coords = list(dataset.skeleton.coords)
    for number in numbers:
        raw = prepared.raw(number)
        start, length = random_crop(len(raw.frames), recipe.crop, dataset.num_frames, rng)
        frames, exists = resample(raw, start, length, dataset.num_frames)
        frames = rotate(frames, [math.radians(rng.uniform(-angle, angle)) for angle in recipe.rotation])
        if recipe.random_move:
            frames = moved(frames, exists, rng)
        if noise:
            drawn = np.random.Generator(np.random.PCG64(rng.getrandbits(48))).standard_normal(frames.shape, np.float32)
            frames[coords] += noise * drawn[coords] * exists
        x.append(frames)
    return torch.from_numpy(np.stack(x)), torch.tensor([prepared.clips[i].label for i in numbers])


def rotate(frames: np.ndarray, angles: Sequence[float]) -> np.ndarray:
    """Coordinates (3, T, V, M) turned about the camera's x, then y, then z axis, by angles in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = math.cos(angle)
        turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
        matrix = turn @ matrix
    turned: np.ndarray = np.einsum("dc,ctvm->dtvm", matrix.astype(frames.dtype), frames)
    return turned


def moved(frames: np.ndarray, exists: np.ndarray, rng: random.Random) -> np.ndarray:
    """Joints (C, T, V, M) whose x and y turn, grow and drift steadily from the first frame to the last.

    ``random_move`` of Spatial Temporal Graph Convolutional Networks (Yan et al., arXiv 1801.07455), as
    2s-AGCN trains on Kinetics: at both ends one of these angles in degrees, scales and shifts. Unlike
    theirs, joints that do not exist (``exists`` (T, V, M)) stay where they are.
    """
    choices = ((-10, -5, 0, 5, 10), (0.9, 1.0, 1.1), *[(-0.2, -0.1, 0.0, 0.1, 0.2)] * 2)
    first, last = ([rng.choice(values) for values in choices] for _ in range(2))
    angle, scale, *shift = np.linspace(first, last, frames.shape[1]).T[..., None, None]  # (T, 1, 1) each
    cosine, sine = scale * np.cos(np.radians(angle)), scale * np.sin(np.radians(angle))
    x, y = frames[:2]
    there = np.stack([cosine * x - sine * y + shift[0], sine * x + cosine * y + shift[1]])
    return np.concatenate([np.where(exists, there, frames[:2]), frames[2:]]).astype(frames.dtype)


def _training_clips(dataset: Dataset, prepared: Prepared, recipe: Recipe, seed: int) -> tuple[list[int], set[int]]:
    """All training clips, and those of them that are held out to choose the number of epochs."""
    train = [i for i, clip in enumerate(prepared.clips) if clip.split == "train"]
    if not train:
        raise DataError(f"{dataset.name}: none of its {len(prepared.clips)} clips is a training clip: nothing to learn")
    held_out = _stratified(prepared, train, recipe.held_out, seed)
    if len(held_out) == len(train):
        raise SettingError(f"recipe.held_out={recipe.held_out} leaves none of {len(train)} clips to learn from")
    return train, held_out


def _stratified(prepared: Prepared, train: list[int], share: float, seed: int) -> set[int]:
    """A ``share`` of the training clips, drawn so that classes keep their proportions."""
    by_class: dict[int, list[int]] = {}
    for number in train:
        by_class.setdefault(prepared.clips[number].label, []).append(number)
    rng = random.Random(f"held out {seed}")
    # Shuffled classes, one after another: every (1/share)-th clip of this row is held out.
    row = [
        number
        for label in rng.sample(sorted(by_class), len(by_class))
        for number in rng.sample(by_class[label], len(by_class[label]))
    ]
    count = round(share * len(row))
    return {row[int((k + 0.5) * len(row) / count)] for k in range(count)}


def _fresh(
    build: Callable[[], nn.Module], recipe: Recipe, seed: int, device: str
) -> tuple[nn.Module, torch.optim.Optimizer]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build().to(device)
    if recipe.dropout is not None:
        for layer in model.modules():
            if isinstance(layer, nn.modules.dropout._DropoutNd):
                layer.p = recipe.dropout
    if recipe.optimiser == "adam":
        return model, torch.optim.Adam(model.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    optimiser = torch.optim.SGD(
        model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=recipe.momentum > 0
    )
    return model, optimiser


def _restore(
    build: Callable[[], nn.Module], recipe: Recipe, seed: int, device: str, scratch: Path
) -> tuple[nn.Module, torch.optim.Optimizer, Progress]:
    model, optimiser = _fresh(build, recipe, seed, device)
    if not scratch.exists():
        return model, optimiser, Progress()
    state: dict[str, Any] = torch.load(scratch, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return model, optimiser, Progress(state["phase"], state["epoch"], tuple(state["held_out"]))


def _save(scratch: Path, model: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    scratch.parent.mkdir(parents=True, exist_ok=True)
    part = scratch.with_suffix(".part")
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), **vars(progress)}
    torch.save(state, part)
    part.replace(scratch)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
