"""Networks of victims, (N, C, T, V, M) -> logits (N, num_classes), and their preprocessing."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skeleton_adv.models.checkpoint import load_checkpoint, load_victim

__all__ = ["load_checkpoint", "load_victim"]


def __getattr__(name: str) -> Any:
    """Import these two functions on first use, because the rest of the package needs neither."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from skeleton_adv.models import checkpoint

    return getattr(checkpoint, name)
