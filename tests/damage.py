"""Seeded random changes of a file's bytes."""

import random

WORDS = (b"1e39", b"-1e6", b"nan", b"NaN", b"Infinity", b"1e999", b"-1", b"9" * 5000, b"{}", b"[", b"true", b"\xc3\xa4")


def changed(content: bytes, rng: random.Random) -> bytes:
    """The bytes of a file with one byte flipped, a part removed, repeated or replaced, or the end cut off."""
    start = rng.randrange(len(content))
    end = min(start + rng.choice((1, 1, 4, 8, 100)), len(content))
    before, part, after = content[:start], content[start:end], content[end:]
    kind = rng.choice(("flip", "flip", "flip", "random", "lose", "double", "word", "cut"))
    if kind == "flip":
        return before + bytes([part[0] ^ 1 << rng.randrange(8)]) + content[start + 1 :]
    return {
        "random": before + rng.randbytes(len(part)) + after,
        "lose": before + after,
        "double": before + part + part + after,
        "word": before + rng.choice(WORDS) + after,
        "cut": before,
    }[kind]
