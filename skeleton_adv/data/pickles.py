"""Pickles of NumPy arrays and plain containers: nothing in a file can name a function to be run."""

import pickle
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_adv.core.errors import DataError

# What pickled arrays and numbers name; NumPy 1 and 2 store them under different modules.
_MODULES = {"numpy.core.multiarray": "multiarray", "numpy._core.multiarray": "multiarray"}
_MODULES |= {"numpy.core.numeric": "numeric", "numpy._core.numeric": "numeric"}


def read_pickle(path: Path) -> Any:
    """The content of a pickle of lists, tuples, dicts, text, numbers and NumPy arrays, also one of Python 2.

    Raises ``DataError`` naming the file, and the first other object that it contains.
    """
    try:
        with path.open("rb") as file:
            return _Plain(file, encoding="latin1").load()
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle raises many kinds
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(f"{path}: not a readable pickle ({reason}): download or make the file again") from None


class _Plain(pickle.Unpickler):
    """An unpickler that accepts the parts of arrays and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        found = _KNOWN.get((_MODULES.get(module, module), name))
        if found is None:
            raise DataError(
                f"contains {module}.{name}, which is not an array or a plain container: it is not loaded, because "
                "it may run any program"
            )
        return found


def _encoded(text: str, encoding: str) -> bytes:
    """Bytes of an array in an old pickle, which stores them as text."""
    if encoding != "latin1":
        raise DataError(f"contains text in the encoding {encoding!r:.20}, which no array has")
    return text.encode("latin1")


_multiarray, _numeric = import_module("numpy._core.multiarray"), import_module("numpy._core.numeric")
_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("multiarray", "_reconstruct"): _multiarray._reconstruct,
    ("multiarray", "scalar"): _multiarray.scalar,
    ("numeric", "_frombuffer"): _numeric._frombuffer,
    ("_codecs", "encode"): _encoded,
}
