"""What the manifest of a finished run holds, by command."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from harness.records import Manifest
from harness.vectors.arms import ARMS

MOST = 10**9  # of a whole number
NAME = 200  # letters of a pool, a measure or an injection: they name files

RANKED = {"eval": ("arm", "length"), "stress": ("inject", "count")}
"""By command that ranks, the columns beside ``pool`` and ``measure`` that make a cell."""


def text(value: Any) -> bool:
    """Text whose parts could be names of files, as those of a dataset or a checkpoint may be."""
    return (
        isinstance(value, str) and "\0" not in value and len(value) < 4096 and max(map(len, value.split("/"))) <= NAME
    )


def name(value: Any) -> bool:
    return text(value) and "/" not in value and value not in ("", ".", "..")


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST


def positive(value: Any) -> bool:
    return whole(value) and value > 0


def real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def many(holds_one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """A list of at least one, none of them twice."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, list | tuple)
            and len(value) > 0
            and all(map(holds_one, value))
            and len({*value}) == len(value)
        )

    return holds


def sorted_(holds_one: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: many(holds_one)(value) and list(value) == sorted(value)


def folders(value: Any) -> bool:
    return isinstance(value, dict) and len(value) > 0 and all(isinstance(one, str) for one in value.values())


ASKED: dict[str, Callable[[Any], bool]] = {"dataset": text, "split": text, "checkpoint": text, "pool": many(name)}
RERANKED = ASKED | {"measures": many(name), "depth": positive, "seed": whole}
CONFIGS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "eval": RERANKED | {"lengths": sorted_(positive), "arms": many(lambda arm: arm in ARMS)},
    "stress": RERANKED | {"inject": many(name), "counts": sorted_(whole), "cosine": real, "tokens": whole},
    "gradients": ASKED | {"lengths": sorted_(positive)},
    "synth": {
        "pool": many(name),
        "seeds": positive,
        "epochs": positive,
        "queries": positive,
        "train_length": many(positive),
        "support": many(positive),
        "lengths": sorted_(positive),
        "inject": many(name),
        "counts": sorted_(whole),
    },
    "compare": {"of": RANKED.__contains__, "baseline": text, "runs": folders},
}


def check_manifest(manifest: Manifest) -> None:
    """Raises ValueError unless a manifest asks what its command can be asked, and holds what reports show."""
    asked = CONFIGS.get(manifest.command, {})
    if manifest.command == "compare" and manifest.config.get("of") in RANKED:
        asked = asked | CONFIGS[manifest.config["of"]]
    if wrong := [key for key, holds in asked.items() if not _holds(holds, manifest.config.get(key))]:
        raise ValueError(f"config: {', '.join(wrong)} missing or of another kind")
    if not all(map(math.isfinite, (*manifest.seconds.values(), *manifest.core_seconds.values()))):
        raise ValueError("seconds that are no numbers")
    of = manifest.candidates
    if of and not (text(of.get("source")) and positive(of.get("depth")) and real(of.get("recall"))):
        raise ValueError("candidates of another kind")
    if manifest.command in RANKED and not text(manifest.fingerprints.get("dataset")):
        raise ValueError("no fingerprint of the dataset")
    if manifest.command == "eval":
        _check_cells(manifest)


def _holds(holds: Callable[[Any], bool], value: Any) -> bool:
    try:
        return holds(value)
    except TypeError:  # a list or an object where a name belongs
        return False


def _check_cells(manifest: Manifest) -> None:
    """The patch counts of every arm at every length, or none in a run of an early version."""
    counts: dict[str, list[int]] = {arm: [] for arm in manifest.config["arms"]}
    for cell in manifest.cells:
        fill, evidence = cell.get("fill"), cell.get("evidence")
        if not (
            _holds(counts.__contains__, cell.get("arm"))
            and positive(cell.get("patches_max"))
            and positive(cell.get("length"))
            and (fill is None or text(fill))
            and (evidence is None or positive(evidence))
        ):
            raise ValueError("cells of another kind")
        counts[cell["arm"]].append(cell["length"])
    if manifest.cells and any(lengths != list(manifest.config["lengths"]) for lengths in counts.values()):
        raise ValueError("cells of other lengths")
