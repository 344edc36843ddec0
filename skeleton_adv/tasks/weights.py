"""Where the weights of a job's networks are, and the facts about them."""

import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from skeleton_adv.command.job import Job, Role
from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.core.files import digest
from skeleton_adv.core.progress import log
from skeleton_adv.data.clips import Dataset, Prepared
from skeleton_adv.models.ensemble import Ensemble
from skeleton_adv.models.network import Network, build_network, returns_features
from skeleton_adv.models.probe import probe, sample
from skeleton_adv.models.weights import is_foreign, load_weights
from skeleton_adv.runs.identity import source_of
from skeleton_adv.train.training import Plain

Loaded = tuple[nn.Module, dict[str, Any]]  # a network, and the facts about its training


@dataclass(frozen=True)
class Weights:
    """The weights of one network of a job: their digest, and a call that loads them into the network."""

    digest: str
    load: Callable[[Prepared], Loaded]


def weights_of(job: Job, role: Role) -> Weights:
    """The weights of a network, from a file or from Python; raises ``CheckpointError`` if there is no such file."""
    if role.given is not None:
        given = role.given
        return Weights(given.digest, lambda prepared: (given.network, dict(given.facts)))
    if role.members:
        return _together([weights_of(job, member) for member in role.members], role)
    path = find_checkpoint(job, role)
    return Weights(digest(path), lambda prepared: trained_network(job, role, path, prepared))


def clean_weights(job: Job) -> Weights:
    """The weights of the victim without ``training``, from which a post-training starts; errors as ``weights_of``."""
    return weights_of(job, replace(job.victim, training=Plain(), model=replace(job.victim.model, checkpoint=None)))


def gives_features(role: Role) -> bool:
    """Whether the outputs of a network, or of one in an ensemble, are features, not logits of classes."""
    given = role.given is not None and returns_features(role.given.network)
    return given or any(returns_features(one.model.architecture) for one in (role, *role.members))


def check_victim(role: Role) -> None:
    """Raise ``SettingError`` if a network cannot be a victim because it has no classes."""
    if gives_features(role):
        raise SettingError(
            f"model={role.option} returns features, not classes, so it cannot be a victim: choose it with "
            f"model@surrogate={role.option}, and another model"
        )


def _together(parts: Sequence[Weights], role: Role) -> Weights:
    """The weights of an ensemble, from those of its members."""

    def load(prepared: Prepared) -> Loaded:
        networks, facts = zip(*(part.load(prepared) for part in parts), strict=True)
        same = {name: value for name, value in facts[0].items() if all(one[name] == value for one in facts)}
        here = [one["trained_here"] for one in facts]
        trained = False if False in here else None if None in here else True
        unlike: dict[str, Any] = {"training": {"name": "mixed"}, "trained_noise": None}
        remarks = list(dict.fromkeys(remark for one in facts for remark in one.get("remarks", [])))
        alone = {
            "remarks": remarks,
            "checkpoint_accuracy": None,
            "trained_here": trained,
            "seeds": {role.key: role.model.seed},
        }
        classes = networks[0].num_classes
        return Ensemble(networks, classes), {**unlike, **same, **alone}

    return Weights(hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest(), load)


def role_settings(job: Job, role: Role) -> dict[str, Any]:
    """The settings that a network's numbers depend on besides weights: its constructors and input shape."""
    made = {"architecture": role.model.architecture, "preprocess": role.model.preprocess}
    parts = {name: {**settings, **source_of(made[name])} for name, settings in role.settings.items()}
    members = [role_settings(job, member)[role.key] for member in role.members]
    return {role.key: parts | ({"members": members} if members else {}), "dataset": job.dataset_settings}


def checkpoint_name(job: Job, role: Role) -> str:
    """Where the weights of a network are in a folder of checkpoints."""
    shape = [f"t{job.dataset.num_frames}", f"k{len(job.dataset.classes)}"]
    shape += [job.dataset.space] if job.dataset.space != "camera" else []
    shape += [role.training.tag] if role.training.tag else []
    return f"{job.dataset.name}/{role.option}_{'_'.join(shape)}_s{role.model.seed}.safetensors"


def find_checkpoint(job: Job, role: Role) -> Path:
    """The weights to load: those named, otherwise those trained here, otherwise those shipped with the program."""
    if role.model.checkpoint:
        places = [Path(role.model.checkpoint).expanduser()]
    else:
        package = Path(__file__).parents[1]
        roots = (Path(job.runtime.checkpoint_dir), package / "checkpoints", package.parent / "outputs/checkpoints")
        places = [root / checkpoint_name(job, role) for root in roots]
    for place in places:
        if place.is_file():
            return place
    missing = f"{role.key}.checkpoint={places[0]} does not exist"
    if role.model.checkpoint:
        raise CheckpointError(f"{missing}: correct the path, or leave it out to use weights that task=train has made")
    other = sorted(places[0].parent.glob(f"{role.option}_*.safetensors")) if places[0].parent.is_dir() else []
    others = (
        f" ({', '.join(path.name for path in other[:3])} in this folder do not fit these settings)" if other else ""
    )
    raise CheckpointError(f"{missing}{others}; train it with: {_training(job, role)}")


def _training(job: Job, role: Role) -> str:
    """The command that trains the weights of a network, as far as it is known."""
    if not (role.has_option and str(job.choices.get("dataset")).isidentifier()):
        return "task=train and the same words"
    given = [word.lstrip("+") for word in shlex.split(job.command)]
    root = job.settings["dataset"].get("root")
    places = [f"dataset.root={root}"] if root else []
    plain = isinstance(role.training, Plain)
    kept = [word for word in given if word.startswith("dataset.") or (word.startswith("training") and not plain)]
    if role.key == "surrogate":
        own = "surrogate_training"
        kept = [word for word in given if word.startswith("dataset.")]
        kept += [word.replace(f"training@{own}", "training").replace(own, "training") for word in given if own in word]
    return " ".join(
        [
            f"task=train model={role.option} dataset={job.choices['dataset']}",
            *(shlex.quote(word) for word in (*places, *kept)),
            f"model.seed={role.model.seed}",
        ]
    )


def trained_network(job: Job, role: Role, checkpoint: Path, prepared: Prepared) -> tuple[Network, dict[str, Any]]:
    """A network with its weights, and the facts about their training.

    The facts are the recorded accuracy, the ``training`` by name and settings (``unknown``: not recorded), its
    noise, its seed, and whether it was on these clips. Raises ``CheckpointError`` if the network was trained
    with other settings.
    """
    network = build_network(role.model.architecture, role.model.preprocess, job.dataset)
    about = load_weights(network, checkpoint)
    check_foreign(network, job.dataset)
    for remark in network.remarks:
        log(f"warning: {remark}")
    settings = _settings_of(about, checkpoint)
    _check_training(job, role, checkpoint, settings)
    here = trained_here(job, about, prepared)
    if here is False:
        other = about.get("dataset", "other clips")
        other = f"another {other} (by its clips or dataset.seed)" if other == job.dataset.name else other
        log(f"{checkpoint} was trained on {other}: its training clips may include clips of this test set")
    return network, {
        **training_facts(about, checkpoint),
        "trained_here": here,
        "remarks": [f"{role.option}: {remark}" for remark in network.remarks],
        # If weights are named by their path, the setting does not tell their seed.
        "seeds": {role.key: seed if type(seed := settings.get("seed")) is int else role.model.seed},
    }


def check_foreign(network: Network, dataset: Dataset) -> None:
    """Try a network from outside this package on a few clips; raises ``SettingError`` if it cannot be attacked."""
    if not is_foreign(network):
        return
    body = dataset.skeleton
    for warning in probe(
        network, sample(body.channels, dataset.num_frames, body.num_joints, dataset.num_persons)
    ).warnings:
        log(f"warning: {warning}")


def training_facts(about: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The facts of ``trained_network`` in the JSON beside weights; ``about`` is empty if there is no JSON."""
    settings = _settings_of(about, path)
    return {
        "checkpoint_accuracy": about.get("test_accuracy"),
        "training": _training_of(settings) if settings else {"name": "unknown"},
        "trained_noise": settings.get("noise", 0.0) if settings else None,
        "trained_here": None,
        "seeds": {},
    }


def _settings_of(about: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The settings of a training; empty if they were not recorded. Raises ``CheckpointError`` if they are damaged."""
    settings = about.get("settings")
    found = {} if settings is None else settings
    parts = [found, *(found.get(name, {}) for name in ("model", "dataset"))] if isinstance(found, dict) else [None]
    parts += [*parts[1].values()] if len(parts) > 1 and isinstance(parts[1], dict) else []
    training = found.get("training", {"name": "none"}) if isinstance(found, dict) else None
    named = isinstance(training, dict) and isinstance(training.get("name"), str)
    noise = found.get("noise", 0.0) if isinstance(found, dict) else None
    if not (all(isinstance(part, dict) for part in parts) and named and type(noise) in (int, float)):
        raise CheckpointError(
            f"{path.with_suffix('.json')} does not say how {path.name} was trained, its settings are damaged: restore "
            "it, or delete it if the training is unknown"
        )
    return dict(found)


def _training_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """How weights were trained beyond their recipe, by name and settings."""
    if "training" in settings:
        return dict(settings["training"])
    return {"name": "noise", "sigma": settings["noise"]} if settings.get("noise") else {"name": "none"}


def _check_training(job: Job, role: Role, path: Path, trained: Mapping[str, Any]) -> None:
    """Raise ``CheckpointError`` if the weights were trained in a network with other settings."""
    model, data = trained.get("model", {}), trained.get("dataset", {})
    ours = {f"{part}.{name}": value for part in role.settings for name, value in role.settings[part].items()}
    theirs = {f"{part}.{name}": value for part in model for name, value in model[part].items()}
    pairs = [(f"{role.key}.{name}", value, theirs[name]) for name, value in ours.items() if name in theirs]
    pairs += [(f"dataset.{name}", getattr(job.dataset, name), data[name]) for name in _SHAPE if name in data]
    for name, value, before in pairs:
        if value != before:
            raise CheckpointError(
                f"{name}={value}, but {path} was trained with {before}: use that value, or other weights"
            )


_SHAPE = ("space", "num_persons")


def trained_here(job: Job, about: Mapping[str, Any], prepared: Prepared) -> bool | None:
    """Whether weights were trained on these clips; None: unknown, or on a dataset of this name."""
    if about.get("dataset", job.dataset.name) != job.dataset.name:
        return False
    digest = (about.get("settings") or {}).get("prepared")
    return None if digest is None else bool(digest == prepared.digest)
