"""Where the clips that a run has kept lie, found without torch."""

from pathlib import Path

from skeleton_adv.core.errors import RunError

Place = tuple[Path, int]  # a file, and a row there


def places(run: Path, *holding: str) -> dict[int, Place]:
    """Number of a clip -> its place, for those of which all these tensors were kept; only numbers are read.

    Raises ``RunError`` if a file of ``clips/*.safetensors`` below ``run`` is damaged.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[int, Place] = {}
    for path in sorted((run / "clips").glob("*.safetensors")):
        try:
            with safe_open(path, framework="np") as file:
                numbers = file.get_tensor("index").tolist() if {*holding} <= {*file.keys()} else []
        except (SafetensorError, OSError) as error:
            raise RunError(f"{path} is damaged ({error}): delete it and give its run's command again") from None
        found |= {number: (path, row) for row, number in enumerate(numbers)}
    return found
