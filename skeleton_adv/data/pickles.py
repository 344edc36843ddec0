"""Pickles of NumPy arrays and plain containers: nothing in a file can name a function to be run, or fill memory."""

import math
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from skeleton_adv.core.errors import DataError

# What pickled arrays and numbers name; NumPy 1 and 2 store them under different modules.
_MODULES = {"numpy.core.multiarray": "multiarray", "numpy._core.multiarray": "multiarray"}
_MODULES |= {"numpy.core.numeric": "numeric", "numpy._core.numeric": "numeric"}
_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU]\d{1,6})")  # kinds of entries without pointers


def read_pickle(path: Path) -> Any:
    """The content of a pickle of lists, tuples, dicts, text, numbers and NumPy arrays, also one of Python 2.

    Raises ``DataError`` naming the file, and the first other object that it contains.
    """
    try:
        with path.open("rb") as file:
            return _as_plain(_Plain(file, encoding="latin1").load(), {})
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle raises many kinds
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(f"{path}: not a readable pickle ({reason}): download or make the file again") from None


class _Plain(pickle.Unpickler):
    """An unpickler that accepts the parts of arrays and refuses every other name."""

    def find_class(self, module: str, name: str) -> Any:
        key = (_MODULES.get(module, module), name)
        if key == ("numpy", "ndarray"):
            return "numpy.ndarray"  # only an argument of ``_reconstruct``; calling it is an error
        found = _KNOWN.get(key)
        if found is None:
            raise DataError(
                f"contains {module}.{name}, which is not an array or a plain container: it is not loaded, because "
                "it may run any program"
            )
        return lambda *arguments: found(*arguments)  # a new function: a file cannot change ours


class _Kind:
    """The kind of an array's entries, as pickles build it."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: str, *flags: Any) -> None:
        if not isinstance(code, str) or not _NUMBERS.fullmatch(code):
            raise DataError(f"contains an array of {code!r:.20}, which are not numbers or text: save them as numbers")
        self._code = code
        self._order: Literal["<", ">", "="] = "="

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else ""
        self._order = "<" if order == "<" else ">" if order == ">" else "="

    def numpy(self) -> np.dtype[Any]:
        kind = np.dtype(self._code)
        return kind if self._order == "=" or kind.itemsize == 1 else kind.newbyteorder(self._order)


class _Array(np.ndarray):
    """An array whose state is checked before NumPy takes it."""

    def __setstate__(self, state: Any, /) -> None:
        _, shape, kind, fortran, raw = state
        kind, raw = _checked_kind(kind), _bytes_of(raw)
        if not all(isinstance(size, int) and size >= 0 for size in shape) or math.prod(shape) * kind.itemsize != len(
            raw
        ):
            raise DataError(f"contains an array of shape {shape!r:.40} whose bytes do not fit")
        super().__setstate__((1, tuple(shape), kind, bool(fortran), raw))  # type: ignore[arg-type]


def _as_plain(value: Any, done: dict[int, Any]) -> Any:
    """The value with plain arrays; ``done`` holds what was seen, so that shared parts are visited once."""
    if isinstance(value, _Array):
        return value.view(np.ndarray)
    if id(value) in done or not isinstance(value, list | tuple | dict):
        return done.get(id(value), value)
    done[id(value)] = value
    if isinstance(value, list):
        value[:] = [_as_plain(item, done) for item in value]
    elif isinstance(value, dict):
        value.update({key: _as_plain(item, done) for key, item in value.items()})
    else:
        done[id(value)] = plain = tuple(_as_plain(item, done) for item in value)
        return plain
    return value


def _checked_kind(kind: Any) -> np.dtype[Any]:
    if not isinstance(kind, _Kind):
        raise DataError("contains an array without a kind of entries")
    return kind.numpy()


def _bytes_of(raw: Any) -> bytes:
    """The bytes of an array; Python 2 stores them as text."""
    if isinstance(raw, str):
        return raw.encode("latin1")
    if not isinstance(raw, bytes | bytearray | memoryview):
        raise DataError("contains an array of Python objects: save it as numbers")
    return bytes(raw)


def _reconstruct(*_: Any) -> _Array:
    return np.ndarray.__new__(_Array, (0,), "b")


def _scalar(kind: Any, raw: Any) -> Any:
    return np.frombuffer(_bytes_of(raw), _checked_kind(kind), 1)[0]


def _frombuffer(buffer: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    return np.frombuffer(_bytes_of(buffer), _checked_kind(kind)).reshape(shape, order="F" if order == "F" else "C")


def _encoded(text: str, encoding: str) -> bytes:
    """Bytes of an array in an old pickle, which stores them as text."""
    if encoding != "latin1":
        raise DataError(f"contains text in the encoding {encoding!r:.20}, which no array has")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Kind,
    ("multiarray", "_reconstruct"): _reconstruct,
    ("multiarray", "scalar"): _scalar,
    ("numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encoded,
}
