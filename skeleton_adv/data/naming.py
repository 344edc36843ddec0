"""Names of users' own datasets, as output folders and tables show them."""

import re
import unicodedata

_NTU60, _NTU120 = ("ntu60_cs", "ntu60_cv"), ("ntu120_xsub", "ntu120_xset")
_PREPARED = {
    **dict.fromkeys(_NTU60, ("npz", "aligned", "agcn", "stgcn", "pyskl", "hrnet", "sgn")),
    **dict.fromkeys(_NTU120, ("npz", "aligned", "agcn", "pyskl", "hrnet")),
}
# A user's numbers must never appear as those of one of these.
SHIPPED = frozenset(
    (
        *(*_NTU60, *_NTU120, "kinetics", "utd_mhad", "kinetics_npy"),
        *("hdm05", "hdm05_11", "dbcsp_ar", *(f"dbcsp_ar_fold{fold}" for fold in range(1, 5))),
        *(f"{name}_{form}" for name, forms in _PREPARED.items() for form in forms),
        *("synthetic_cs", "synthetic_cv", "synthetic_kinetics"),
    )
)
LONGEST = 60  # characters; file systems allow 255


def own_name(title: str) -> str:
    """The name of a user's dataset: lower case, letters, digits and ``_``, and never that of a shipped one."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:LONGEST].rstrip("_") or "own"
    shipped = name.removesuffix("_train").removesuffix("_subjects") in SHIPPED
    return f"own_{name}" if shipped or not name[0].isalpha() else name
