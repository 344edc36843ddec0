"""Numbers in text, read by NumPy many at once, and each bit for bit as ``float`` reads it."""

import numpy as np

WIDEST = 24  # characters of a number that is read here; ``float`` reads longer ones
DIGITS = (
    15  # whole numbers with so many digits are exact in float64, and so is their quotient by a power of ten, rounded
)
POWERS = 10.0 ** np.arange(WIDEST)
MINUS, POINT, ZERO = (ord(character) for character in "-.0")


def decimals(text: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The numbers (N,) in float64 that are at ``starts`` (N,) up to ``ends`` (N,) in ``text``, bytes as uint8.

    Plain decimals, such as -0.0872311, are whole numbers divided by a power of ten, which is rounded once, as in
    ``float``. All other spellings are left to ``float``. Raises ``ValueError`` if one is not a number.
    """
    lengths = ends - starts
    width = int(min(lengths.max(initial=0), WIDEST))
    padded = np.concatenate([text, np.zeros(WIDEST, np.uint8)])
    whole, places, digits = (np.zeros(len(starts), np.int64) for _ in range(3))
    points, odd = np.zeros(len(starts), np.int8), (lengths > WIDEST) | (lengths < 1)
    negative = padded[starts] == MINUS
    for column in range(width):
        character = padded[starts + column]
        inside = column < lengths
        digit = character - ZERO  # uint8, so that characters below 0 wrap to large numbers
        is_digit = inside & (digit < 10)
        is_point = inside & (character == POINT)
        whole = np.where(is_digit, 10 * whole + digit, whole)
        digits += is_digit
        places += is_digit & (points > 0)
        points += is_point
        known = is_digit | is_point
        odd |= inside & ~known if column else inside & ~known & ~negative
        if column == DIGITS + 3:  # before whole numbers overflow
            odd |= digits > DIGITS
            whole[odd] = 0
    odd |= (digits < 1) | (digits > DIGITS) | (points > 1)
    values = whole / POWERS[np.minimum(places, WIDEST - 1)]
    values = np.where(negative, -values, values)
    for number in np.flatnonzero(odd):
        values[number] = float(text[starts[number] : ends[number]].tobytes().decode("ascii"))
    return values
