"""Numbers in text, read by NumPy many at once, and each bit for bit as ``float`` reads it.

Eight digits are read in one step, as the bytes of a 64-bit integer (Mula, "SWAR").
"""

import numpy as np

WORD = 8  # characters of a 64-bit integer
MOST = 16  # characters of a number's fraction, and of its whole part, that are read here
EXACT = np.uint64(2**53)  # whole numbers below it are exact in float64, and so are powers of ten up to 10 ** 22
POWERS = 10 ** np.arange(MOST + 3, dtype=np.uint64)
MINUS, POINT = (ord(character) for character in "-.")
ZEROS, HIGH, SIXES = (np.uint64(int(byte * WORD, 16)) for byte in ("30", "f0", "06"))
# For 0 to 8 characters: the bits of the last ones, and zeros as characters in place of the others.
KEPT = np.array([2**64 - 2 ** (8 * (WORD - count)) for count in range(WORD + 1)], dtype=np.uint64)
FILLED = ZEROS & ~KEPT
TEN, BYTE, TWO_BYTES, FOUR_BYTES = (np.uint64(value) for value in (10, 8, 16, 32))
PAIRS, TENS, ONES = np.uint64(0x000000FF000000FF), np.uint64(0x000F424000000064), np.uint64(0x0000271000000001)


def decimals(text: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The numbers (N,) in float64 that are at ``starts`` (N,) up to ``ends`` (N,) in ``text``, bytes as uint8.

    Plain decimals with up to three digits before the point, such as -0.0872311, are whole numbers divided by a power
    of ten, which is rounded once, as in ``float``. All other spellings are left to ``float``. Raises ``ValueError`` if
    one is not a number.
    """
    padded = np.concatenate([np.zeros(MOST, np.uint8), text, np.zeros(MOST, np.uint8)])
    words = np.ndarray((len(padded) - WORD + 1,), "<u8", padded.tobytes(), strides=(1,))  # at every byte
    begins, stops = starts + MOST, ends + MOST
    negative = padded[begins] == MINUS
    begins = begins + negative
    points = begins + 1
    for _ in range(2):
        points = points + (padded[points] != POINT)
    places = stops - points - 1
    plain = (padded[points] == POINT) & (places >= 1) & (places <= MOST) & (stops > begins)
    places = np.where(plain, places, 1)
    value, valid = _digits(words, points, points - begins)
    plain &= valid
    scale = POWERS[places]
    value *= scale  # at most 3 + 16 digits, whose value fits into 64 bits
    if places.max(initial=0) > WORD:
        high, valid = _digits(words, stops - WORD, np.maximum(places - WORD, 0))
        plain &= valid
        value += high * POWERS[WORD]
    low, valid = _digits(words, stops, np.minimum(places, WORD))
    value += low
    plain &= valid & (value < EXACT)
    values: np.ndarray = value / scale.astype(np.float64)
    np.negative(values, out=values, where=negative)
    for number in np.flatnonzero(~plain):
        values[number] = float(text[starts[number] : ends[number]].tobytes().decode("ascii"))
    return values


def _digits(words: np.ndarray, stops: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The whole numbers (N,) of the last ``counts`` (0 to 8) characters before ``stops``, and whether all are digits.

    ``words`` are the 64-bit integers at every byte of the text, with the first character in the lowest byte.
    """
    word = words[stops - WORD]
    word &= KEPT[counts]
    word |= FILLED[counts]
    valid = (word & HIGH) == ZEROS
    valid &= ((word + SIXES) & HIGH) == ZEROS
    word -= ZEROS
    word = word * TEN + (word >> BYTE)
    tens = word & PAIRS
    tens *= TENS
    word >>= TWO_BYTES
    word &= PAIRS
    word *= ONES
    word += tens
    word >>= FOUR_BYTES
    return word, valid
