"""Attacks: functions ``(model, batch, *, targeted=False, **settings) -> AttackResult``."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial, wraps
from inspect import Parameter, Signature, isfunction, signature
from typing import Any, Protocol, TypeVar

from torch import Tensor

from skeleton_adv.core.access import Access
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.masks import Joints
from skeleton_adv.core.pool import Fit as Fit
from skeleton_adv.core.pool import Model as Model
from skeleton_adv.core.pool import Pool as Pool
from skeleton_adv.core.pool import Tensors
from skeleton_adv.runs.schema import Columns

__all__ = [
    *("Access", "Attack", "AttackResult", "Deep", "Fit", "Model", "Pool", "access_of", "aims", "deep", "fit_of"),
    *("masked_batch",),
    *(
        "members",
        "minimises",
        "name_of",
        "needs",
        "own_columns",
        "passes_of",
        "stages_of",
        "strongest_access",
        "uses_labels",
        "wants_pool",
    ),
    "wants_posterior",
]

F = TypeVar("F", bound=Callable[..., Any])
MASKS = ("joints", "frames", "joint_eps")  # the settings that ``needs`` adds to an attack

# (x, draws, scale) -> logits (H, N, num_classes) of networks that are drawn from the posterior over the weights.
Posterior = Callable[[Tensor, int, float], Tensor]


# x -> the features (N, D) of each stage, averaged over frames, joints and persons, and the logits (N, num_classes).
Deep = Callable[[Tensor], tuple[tuple[Tensor, ...], Tensor]]


@dataclass(frozen=True)
class AttackResult:
    """The result of an attack; evaluation judges success from ``x_adv`` alone."""

    x_adv: Tensor  # (N, C, T, V, M), detached; immovable entries equal those of the clean clips
    found: Tensor  # (N,) bool: whether the attack claims that the clip fools the model
    trace: dict[str, Tensor] | None = None  # name -> (steps, N), for figures
    columns: dict[str, Tensor] = field(default_factory=dict)  # name -> (N,), the columns that the attack declares


class Attack(Protocol):
    """With ``targeted``, ``batch.y`` contains the classes to reach, otherwise the true classes."""

    def __call__(self, model: Model, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult: ...


@dataclass(frozen=True)
class _Needs:
    access: Access
    columns: Columns = field(default_factory=dict)
    passes: Callable[..., int | None] | None = None
    pool: bool = False
    fit: Fit | None = None
    fit_access: Access = "gradients"
    minimises: str | None = None
    aims: bool = True
    labels: Callable[..., bool] | None = None
    posterior: bool = False
    stages: Callable[..., Any] | None = None


def needs(
    access: Access,
    columns: Columns | None = None,
    passes: Callable[..., int | None] | None = None,
    *,
    pool: bool = False,
    fit: Fit | None = None,
    fit_access: Access = "gradients",
    minimises: str | None = None,
    aims: bool = True,
    labels: Callable[..., bool] | None = None,
    masks: bool = True,
    posterior: bool = False,
    stages: Callable[..., Any] | None = None,
) -> Callable[[F], F]:
    """Declare the access that an attack requires, and the ``columns`` that it adds to its rows.

    ``gradients``: calls are differentiable (a white box, or a surrogate); ``scores``: calls return
    logits; ``labels``: calls return predicted classes (N,), -1 where the logits are not finite; ``none``: no
    calls are allowed. Evaluation gives the attack no more than that. ``columns`` maps names to the kinds ``float``,
    ``int`` and ``bool``; ``AttackResult.columns`` must then contain a tensor (N,) for each. ``passes(**settings)``
    returns the number of times that the attack calls the model, if that is known (the time left is estimated from it).

    - ``pool``: the attack receives ``pool``, the training clips of the attacker (``Pool``)
    - ``fit``: the attack receives ``fitted``, the tensors that this function has fitted on training clips (``Fit``).
      The fit may call the attacked network and use its gradients, also if ``access`` is ``none``
    - ``minimises``: the norm that the attack makes as small as it can, ``l2``, ``linf``, ``rms`` or ``l0`` (joints in
      frames); ``norm`` if its setting ``norm`` names it. Tables compare such attacks by the norms that they find
    - ``aims``: whether the attack can have a target; if not, it is refused with ``targeted=true``
    - ``labels``: ``labels(**settings)`` returns whether the attack uses classes: true ones, targets, or those of the
      model's outputs. An attack without classes can attack features; it has no target and claims no success. None: it
      uses classes
    - ``masks``: the attack has the settings ``joints`` and ``frames`` (``core.masks``), which limit ``batch.movable``;
      if it has ``eps``, also ``joint_eps``, budgets of single joints
    - ``posterior``: the attack draws networks from the attacked network's ``posterior``, which some trainings fit
    - ``stages``: ``stages(targeted=..., **settings)`` returns the attack in stages (``attacks.stages.Staged``), or None
      if it has none with these settings. Clips that are done then leave the passes to others
    """

    def declare(attack: F) -> F:
        declared = _masked(attack) if masks and isfunction(attack) else attack
        own = _Needs(
            *(access, dict(columns or {}), passes, pool, fit, fit_access, minimises, aims, labels, posterior, stages)
        )
        declared.__needs__ = own  # type: ignore[attr-defined]
        return declared

    return declare


def access_of(attack: Callable[..., Any]) -> Access:
    """The access that an attack requires; an attack without a declaration requires gradients."""
    return _needs_of(attack).access


def own_columns(attack: Callable[..., Any]) -> Columns:
    """The columns that an attack adds to its rows, with their kinds."""
    return _needs_of(attack).columns


def wants_pool(attack: Callable[..., Any]) -> bool:
    """Whether an attack receives the attacker's training clips."""
    return _needs_of(attack).pool


def minimises(attack: Callable[..., Any]) -> str | None:
    """The norm that an attack minimises; None if it minimises none."""
    norm = _needs_of(attack).minimises
    return str(_values_of(attack)["norm"]) if norm == "norm" else norm


def aims(attack: Callable[..., Any]) -> bool:
    """Whether an attack with its settings can reach a target."""
    return _needs_of(attack).aims and uses_labels(attack)


def wants_posterior(attack: Callable[..., Any]) -> bool:
    """Whether an attack draws networks from the posterior of the attacked one."""
    return _needs_of(attack).posterior


def fit_of(attack: Callable[..., Any]) -> Callable[..., Iterator[Tensors]] | None:
    """The fit of an attack with its settings, ``(view, pool, state) -> states``; None if it fits nothing."""
    fit, values = _needs_of(attack).fit, _values_of(attack)
    return partial(fit, **{name: values[name] for name in signature(fit).parameters if name in values}) if fit else None


def strongest_access(attack: Callable[..., Any]) -> Access:
    """The access that an attack requires, on test clips or in its fit."""
    needs = _needs_of(attack)
    return needs.fit_access if needs.fit else needs.access


def passes_of(attack: Callable[..., Any]) -> int | None:
    """How often an attack calls the model with its settings; None if it does not declare this."""
    passes = _needs_of(attack).passes
    return passes(**_values_of(attack)) if passes else None


def stages_of(attack: Callable[..., Any], targeted: bool) -> Any:
    """An attack with its settings in stages (``attacks.stages.Staged``); None if it has no stages."""
    stages = _needs_of(attack).stages
    if stages is None:
        return None
    values = {name: value for name, value in _values_of(attack).items() if name not in MASKS}
    return stages(**values | {"targeted": targeted})


def masked_batch(attack: Callable[..., Any], batch: SkeletonBatch) -> SkeletonBatch:
    """The clips as an attack with its settings sees them: limited by its masks of joints and frames."""
    limits = {name: value for name, value in _values_of(attack).items() if name in MASKS and value is not None}
    return batch.limited(**limits) if limits else batch


def uses_labels(attack: Callable[..., Any]) -> bool:
    """Whether an attack with its settings uses classes; one that does not may attack features."""
    labels = _needs_of(attack).labels
    return labels(**_values_of(attack)) if labels else True


def name_of(attack: Callable[..., Any]) -> str:
    """The name of an attack, for messages."""
    function = _function(attack)
    return str(getattr(function, "__name__", type(function).__name__))


def members(model: Model) -> tuple[Model, ...]:
    """The networks of an ensemble, each with its own logits; ``(model,)`` if it is a single network.

    A call of the ensemble itself returns the mean of their logits.
    """
    found: tuple[Model, ...] = getattr(model, "__members__", ())
    return found or (model,)


def posterior(model: Model) -> Posterior:
    """The function that draws networks from a model's posterior: new ones in each call, the same for all clips.

    ``scale`` multiplies the standard deviations. A draw is a whole network, or one copy of each appended part. All
    draws of appended parts share one pass over the clips; each whole network takes its own pass. Without a posterior,
    the model itself is the only draw.
    """
    found: Posterior | None = getattr(model, "__posterior__", None)
    return found or (lambda x, draws, scale: model(x)[None])


def deep(model: Model) -> Deep:
    """The function that returns the features (N, D) of each stage of a model, in order, and its logits.

    A model without features has one stage, its logits.
    """
    found: Deep | None = getattr(model, "__deep__", None)
    if found:
        return found

    def logits_only(x: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        logits = model(x)
        return (logits,), logits

    return logits_only


def _masked(attack: F) -> F:
    """The attack with the settings ``joints``, ``frames`` and, if it has ``eps``, ``joint_eps``."""
    given = signature(attack).parameters
    annotations: dict[str, Any] = {"joints": Joints | None, "frames": str | int | None}
    if "eps" in given:
        annotations["joint_eps"] = Mapping[str, float] | None
    own = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotations[name]) for name in annotations]

    @wraps(attack)
    def masked(model: Model, batch: SkeletonBatch, **settings: Any) -> Any:
        limits = {name: settings.pop(name) for name in annotations if name in settings}
        limited = batch if all(value is None for value in limits.values()) else batch.limited(**limits)
        return attack(model, limited, **settings)

    masked.__signature__ = Signature([*given.values(), *own])  # type: ignore[attr-defined]
    masked.__annotations__ = {**attack.__annotations__, **annotations}
    return masked  # type: ignore[return-value]


def _values_of(attack: Callable[..., Any]) -> dict[str, Any]:
    """The settings of an attack, those that are not set with their defaults."""
    parameters = signature(attack).parameters.items()
    return {name: parameter.default for name, parameter in parameters if parameter.default is not parameter.empty}


def _needs_of(attack: Callable[..., Any]) -> _Needs:
    needs: _Needs = getattr(_function(attack), "__needs__", _Needs("gradients"))
    return needs


def _function(attack: Callable[..., Any]) -> Callable[..., Any]:
    """The attack's function without the settings that ``partial`` binds to it."""
    while isinstance(attack, partial):
        attack = attack.func
    return attack
