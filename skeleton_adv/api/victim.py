"""Victims for the Python API: a network with trained weights, by name, or your own network."""

import copy
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_adv import tasks
from skeleton_adv.api.check import check_image_size, check_words
from skeleton_adv.command.job import Given, Role
from skeleton_adv.command.words import given, job_of, merged, word, words_of
from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.core.files import digest, read_json
from skeleton_adv.core.progress import log
from skeleton_adv.core.ranges import check_value, nearest
from skeleton_adv.core.skeleton import SKELETONS, Skeleton
from skeleton_adv.data.dataset import Dataset
from skeleton_adv.models import checkpoint as checkpoints
from skeleton_adv.models.network import Function, Network, build_network, channels_last
from skeleton_adv.models.preprocess import CenterPerFrame, PreNormalize, Unchanged
from skeleton_adv.models.probe import probe, sample
from skeleton_adv.models.units import Channels, Rescaled
from skeleton_adv.models.weights import load_weights
from skeleton_adv.runs.identity import source_of
from skeleton_adv.tasks.weights import find_checkpoint, training_facts

FRONTS: dict[str, Callable[[Skeleton], nn.Module]] = {
    "hcn": CenterPerFrame,
    "agcn": PreNormalize,
}  # preprocessing by the victim that uses it
UNKNOWN = training_facts({}, Path())  # of a network whose training is not recorded


class Victim:
    """A recogniser (a network with its preprocessing) to attack or certify.

        victim = sa.Victim(module, skeleton="ntu25", num_frames=64)

    - ``module``: an ``nn.Module`` from clips (N, C, T, V, M) to logits (N, num_classes): C coordinates (x, y, z), T
      frames, V joints, M persons; absent joints are 0. It is copied, in evaluation mode, whenever it is used.
    - ``skeleton``: the order of the joints, by name (``sa.list("skeletons")``) or as a ``sa.Skeleton``
    - ``num_frames``: T; clips are resampled to it
    - ``num_persons``: M, the number of persons per clip
    - ``preprocess``: maps clips to the input of ``module``: a function or a module through which gradients flow, or
      ``"hcn"`` or ``"agcn"`` for the preprocessing of that network. None: no preprocessing
    - ``unit``: the unit of the coordinates that the network was trained on: ``m``, ``cm`` or ``mm``; in an image
      ``image``, or ``px`` with ``image_size=(width, height)``. Attacks always work in metres or fractions of the image
    - ``classes``: names of the classes, in the order of the logits
    - ``name``: the name of the victim in tables

    Raises ``SettingError`` if the network cannot be attacked: it fails on clips of this shape, has no gradient, or
    mixes the clips of a batch. Warns if it returns probabilities or is random.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        skeleton: str | Skeleton,
        num_frames: int,
        num_persons: int = 1,
        preprocess: str | nn.Module | Callable[[Tensor], Any] | None = None,
        unit: str = "m",
        image_size: tuple[float, float] | None = None,
        classes: Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        _check_module(module)
        _check_size(num_frames, num_persons)
        check_image_size(image_size)
        self.num_frames, self.num_persons = num_frames, num_persons
        self.name = _file_name(name or type(module).__name__)
        self._fit(skeleton, lambda body: _network(module, body, preprocess, unit, image_size))
        self.classes = _class_names(classes, self.num_classes)
        self.model_words: tuple[str, ...] = ()
        self.dataset_words: tuple[str, ...] = ()
        self._path: Path | None = None
        self._loaded = ""
        self._facts: dict[str, Any] = dict(UNKNOWN)
        self._settings = _settings_of(module, preprocess, unit, image_size)

    def _fit(self, skeleton: str | Skeleton, build: Callable[[Skeleton], Network]) -> None:
        """Set the skeleton, the network and its number of classes; raises ``SettingError`` if the network fails.

        A network of a skeleton by its name may take the coordinates without the detector's score.
        """
        body = skeleton_of(skeleton)
        errors: list[SettingError] = []
        for one in [body, body.without_score()] if isinstance(skeleton, str) and body.scores else [body]:
            self.skeleton, self.network = one, build(one)
            try:
                self.num_classes = self._probed()
                return
            except SettingError as error:
                errors.append(error)
        raise errors[0]

    def _probed(self) -> int:
        """The number of classes, from a pass over a few clips; logs warnings."""
        x = sample(self.skeleton.channels, self.num_frames, self.skeleton.num_joints, self.num_persons)
        tried = probe(self.copied().cpu(), x)
        for warning in tried.warnings:
            log(f"warning: {warning}")
        return tried.num_classes

    @classmethod
    def _from(cls, network: Network, dataset: Dataset, name: str, path: Path, facts: dict[str, Any]) -> "Victim":
        """A victim that was loaded from ``path``, for clips of the shape of ``dataset``'s."""
        victim = cls.__new__(cls)
        victim.network, victim.name = network.eval().requires_grad_(False), name
        victim.skeleton, victim.classes = dataset.skeleton, tuple(dataset.classes)
        victim.num_frames, victim.num_persons = dataset.num_frames, dataset.num_persons
        victim.num_classes = len(dataset.classes)
        victim.model_words = victim.dataset_words = ()
        victim._path, victim._facts = path, facts
        victim._loaded, victim._settings = state_digest(network), {}
        return victim

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of clips (N, C, T, V, M) in the attack space, in evaluation mode."""
        logits: Tensor = self.network.eval()(x)
        return logits

    def __repr__(self) -> str:
        shape = f"T={self.num_frames}, V={self.skeleton.num_joints}, M={self.num_persons}"
        return f"<Victim {self.name}: {self.skeleton.name}, {shape}, {self.num_classes} classes>"

    def copied(self) -> Network:
        """A copy of the network in evaluation mode; raises ``SettingError`` if it cannot be copied."""
        try:
            network = copy.deepcopy(self.network)
        except Exception as error:  # a module may hold anything
            raise SettingError(
                f"{type(self.network.model).__name__} cannot be copied ({error}): remove results of earlier passes "
                "and open files from its attributes"
            ) from None
        return channels_last(network).eval().requires_grad_(False)

    def _on(self, skeleton: Skeleton) -> Network:
        """A copy of the network for clips of ``skeleton``."""
        network = self.copied()
        if skeleton.channels == self.skeleton.channels:
            return network
        front = nn.Sequential(Channels(skeleton, self.skeleton), network.preprocess)
        return Network(front, network.model, network.num_classes).eval()

    def role(self, role: Role, skeleton: Skeleton) -> Role:
        """A job's network, replaced by this victim on clips of ``skeleton``, which may have a score that it lacks."""
        changed = self._path is None or state_digest(self.network) != self._loaded
        fits = skeleton.channels == self.skeleton.channels
        if self._path is not None and self.model_words and not changed and fits:
            return replace(role, model=replace(role.model, checkpoint=str(self._path)))
        weights = digest(self._path) if self._path is not None and not changed else state_digest(self.network)
        facts = UNKNOWN if changed else self._facts
        settings = self._settings or role.settings
        return replace(role, option=self.name, settings=settings, given=Given(self._on(skeleton), weights, facts))


def _network(
    module: nn.Module,
    skeleton: Skeleton,
    preprocess: str | nn.Module | Callable[[Tensor], Any] | None,
    unit: str,
    image_size: tuple[float, float] | None,
) -> Network:
    return Network(nn.Sequential(Rescaled(skeleton, unit, image_size), front_of(preprocess, skeleton)), module)


def _settings_of(
    module: nn.Module,
    preprocess: str | nn.Module | Callable[[Tensor], Any] | None,
    unit: str,
    image_size: tuple[float, float] | None,
) -> dict[str, dict[str, Any]]:
    """The settings of a network's parts, as a run records them."""
    front = preprocess or Unchanged
    size = {"image_size": list(image_size)} if image_size else {}
    return {
        "preprocess": {"_target_": _name_of(front), **_source(front), "unit": unit, **size},
        "architecture": {"_target_": _name_of(type(module)), **_source(type(module))},
    }


def _check_module(module: Any) -> None:
    if isinstance(module, type) and issubclass(module, nn.Module):
        raise SettingError(f"module={module.__name__} is a class: pass an instance of it, such as {module.__name__}()")
    if not isinstance(module, nn.Module):
        raise SettingError(
            f"module is of type {type(module).__name__}, not a torch.nn.Module: wrap your function in one"
        )


def load_victim(
    name: str | Path,
    dataset: str | None = None,
    *,
    seed: int | None = None,
    noise: float | None = None,
    num_frames: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Victim:
    """A victim by its name and the dataset that it was trained on, like ``model=NAME dataset=DATASET``.

    - ``seed``: the seed of the training; ``noise``: the standard deviation of the noise in training
    - ``num_frames``: T, if it is not the dataset's default
    - ``checkpoint``: a file of weights, such as published ones. None: the weights trained here, or if there are none,
      the weights shipped with the program
    - ``overrides``: further settings as on the command line, such as ``"dataset.num_actions=10"``

    ``sa.list("weights")`` lists the available weights. ``name`` may also be the path of a ``.safetensors`` file
    that ``task=train`` wrote. Raises ``CheckpointError`` if the weights do not exist or do not fit.
    """
    check_words(overrides)
    if Path(name).suffix == ".safetensors":
        return _from_file(Path(name))
    if Path(name).suffix in (".pt", ".pth", ".tar"):
        raise SettingError(
            f"{name} does not say which network it belongs to: load_victim('agcn', dataset=..., checkpoint='{name}')"
        )
    model = merged([word("model", str(name))], words_of("model.", given(seed=seed, noise=noise)))
    data = merged(words_of("", given(dataset=dataset)), words_of("dataset.", given(num_frames=num_frames)))
    places = words_of("model.", given(checkpoint=checkpoint))
    places += words_of("runtime.", given(checkpoint_dir=checkpoint_dir))
    return _by_words(model, data, overrides, places)


def _by_words(model: list[str], data: list[str], overrides: Sequence[str], places: list[str]) -> Victim:
    """The victim that these words of a command line name."""
    data = [*data, *(each for each in overrides if each.startswith("dataset"))]
    model = [*model, *(each for each in overrides if not each.startswith("dataset"))]
    job = job_of([*data, *model, *places], tasks.find)
    path = find_checkpoint(job, job.victim)
    network = build_network(job.victim.model.architecture, job.victim.model.preprocess, job.dataset)
    facts = training_facts(load_weights(network, path), path)
    victim = Victim._from(network, job.dataset, job.victim.option, path, facts)
    victim.model_words, victim.dataset_words = tuple(model), tuple(data)
    return victim


def _from_file(path: Path) -> Victim:
    """A victim from weights of this program and the JSON beside them."""
    if not path.exists():
        raise CheckpointError(f"{path} does not exist: sa.list('weights') lists the available weights")
    network, dataset = checkpoints.load_victim_and_dataset(path)
    about = read_json(path.with_suffix(".json"), CheckpointError)
    victim = Victim._from(network, dataset, _file_name(path.stem), path, training_facts(about, path))
    victim._settings = {part: dict(about["settings"]["model"][part]) for part in checkpoints.PARTS}
    return victim


def skeleton_of(skeleton: str | Skeleton) -> Skeleton:
    """A skeleton by name; raises ``SettingError`` with the nearest name."""
    if isinstance(skeleton, Skeleton):
        return skeleton
    if skeleton not in SKELETONS:
        raise SettingError(f"skeleton={skeleton} is not known: {nearest(str(skeleton), [*SKELETONS])}")
    return SKELETONS[skeleton]


def front_of(preprocess: str | nn.Module | Callable[[Tensor], Any] | None, skeleton: Skeleton) -> nn.Module:
    """The preprocessing of a network as a module."""
    if preprocess is None:
        return Unchanged()
    if isinstance(preprocess, nn.Module):
        return preprocess
    if isinstance(preprocess, str):
        if preprocess not in FRONTS:
            raise SettingError(f"preprocess={preprocess} is not known: {nearest(preprocess, [*FRONTS])}")
        return FRONTS[preprocess](skeleton)
    if not callable(preprocess):
        raise SettingError(f"preprocess={preprocess!r} must be a function from clips to the input of the network")
    return Function(preprocess)


def state_digest(network: nn.Module) -> str:
    """SHA-256 of a network's layers, parameters and buffers."""
    total = hashlib.sha256(repr(network).encode())
    for name, value in network.state_dict().items():
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _check_size(num_frames: int, num_persons: int) -> None:
    for key, value in {"num_frames": num_frames, "num_persons": num_persons}.items():
        check_value(key, value, int)
        if value < 1:
            raise SettingError(f"{key}={value} is out of range: it must be at least 1")


def _class_names(classes: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if classes is None:
        return tuple(str(number) for number in range(count))
    if len(classes) != count or len({*classes}) != count:
        raise SettingError(f"classes has {len({*classes})} different names, but the network returns {count} logits")
    return tuple(map(str, classes))


def _name_of(code: Any) -> str:
    if isinstance(code, str):
        return code
    made = code.func if isinstance(code, partial) else code
    made = made if hasattr(made, "__qualname__") else type(made)
    return f"{made.__module__}.{made.__qualname__}"


def _source(code: Any) -> dict[str, str]:
    if isinstance(code, str):
        return {}
    return source_of(code if hasattr(code, "__qualname__") or isinstance(code, partial) else type(code))


def _file_name(name: str) -> str:
    """A name that a folder may have."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "own"
