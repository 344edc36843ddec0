"""Content of the page as text: plain JSON, and compressed parts that a browser unpacks when they are first shown."""

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

TYPES = {"|u1": "u1", "<u2": "u2", "<i2": "i2", "<f4": "f4"}  # what the page's script can read


def plain(value: Any) -> Any:
    """A value as JSON allows it: numbers of NumPy as Python's, tuples as lists; None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return (int(value) if value.is_integer() and abs(value) < 1e9 else value) if np.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def as_json(value: Any) -> str:
    """Compact JSON that may be inside of a script element: it contains no ``<``, ``>`` or ``&``."""
    text = json.dumps(plain(value), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return text.translate({ord(one): f"\\u{ord(one):04x}" for one in "<>&\u2028\u2029"})


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> str:
    """A part: base64 of the raw deflate of the header's length (4 bytes, little-endian), the header, and the arrays.

    The header is JSON; its ``arrays`` says for each array its type, its shape and its first byte after the header.
    """
    content, places = b"", {}
    for name, values in (arrays or {}).items():
        array = np.ascontiguousarray(values)
        places[name] = {"type": TYPES[array.dtype.str], "shape": list(array.shape), "at": len(content)}
        content += array.tobytes()
    about = as_json({**header, "arrays": places}).encode()
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    squeezed = squeeze.compress(len(about).to_bytes(4, "little") + about + content) + squeeze.flush()
    return base64.b64encode(squeezed).decode()


def unpack(text: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a part, as the page's script reads them."""
    content = zlib.decompress(base64.b64decode(text), -15)
    size = int.from_bytes(content[:4], "little")
    header = json.loads(content[4 : 4 + size])
    arrays = {}
    for name, place in header.pop("arrays").items():
        dtype = np.dtype(place["type"]).newbyteorder("<")
        count = int(np.prod(place["shape"]))
        arrays[name] = np.frombuffer(content, dtype, count, 4 + size + place["at"]).reshape(place["shape"])
    return header, arrays
