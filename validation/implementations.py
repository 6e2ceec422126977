"""MaxSim against other implementations, and every operator against a loop in float64, on the same random vectors.

``python -m validation.implementations NAME…`` prints scores as JSON: so environments of their own are asked, where a
package cannot live beside the program.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from harness.audit.scorers import load
from harness.errors import OptionError

PEERS = Path(os.environ.get("PEERS", "build/peers"))  # the environment that `make bench-peers` makes
HERE = {"harness": "harness", "colbert": "colbert-ai", "colbert-packed": "colbert-ai", "maxsim-cpu": "maxsim-cpu"}
THERE = {"sentence-transformers": "sentence-transformers", "pylate": "pylate"}
OPERATORS = ["maxsim", "topk:1", "topk:4", "topk:16", "softmax:0.01", "softmax:0.1", "softmax:1.0", "logsumexp:0.1"]
OPERATORS += ["logsumexp:1.0", "logmeanexp:0.1", "mean"]
LENGTHS = [1, 32, 256, 2000]
CLOSE = 1e-4

Case = tuple[np.ndarray, list[np.ndarray]]
"""Query (t, d) and documents (p, d), float32, every number exact in float16: what is stored loses nothing."""


def cases(tokens: int = 32, dim: int = 128, longest: int = 2000) -> dict[str, Case]:
    """lean: 1 towards the query, −1 away from it, so that all similarities are negative."""
    ragged = np.random.default_rng(1).integers(1, 301, 40).tolist()
    spread = [1, 2, 3, 17, 64, 255, 256, 257, 512, 1000, longest]
    made = {
        "ragged": _case(ragged, 0.0, tokens, dim),
        "all negative, ragged": _case(ragged, -1.0, tokens, dim),
        "all negative, equal lengths": _case([50] * 20, -1.0, tokens, dim),
        "single patches": _case([1] * 30, 0.0, tokens, dim),
        "single patches, all negative": _case([1] * 30, -1.0, tokens, dim),
        f"1 to {longest:,} patches": _case(spread, 0.0, tokens, dim),
        f"1 to {longest:,} patches, all negative": _case(spread, -1.0, tokens, dim),
    }
    query, documents = _case([1, 5, 40], 0.0, tokens, dim)
    twice = [np.concatenate([one, one]) for one in documents]
    return {**made, "duplicate documents and patches": (query, [*documents, *twice, *documents])}


def _case(patches: Sequence[int], lean: float, tokens: int, dim: int) -> Case:
    random = np.random.default_rng([tokens, dim, *patches])
    topic = random.standard_normal(dim)

    def unit(rows: int, sign: float) -> np.ndarray:
        made = random.standard_normal((rows, dim)) * 0.4 ** abs(sign) + sign * topic
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        return made.astype(np.float16).astype(np.float32)

    return unit(tokens, abs(lean)), [unit(rows, lean) for rows in patches]


def formula(spec: str, row: Sequence[float]) -> float:
    """An operator on the similarities of one query token, written out, in float64."""
    name, _, value = spec.partition(":")
    if name == "maxsim":
        return max(row)
    if name == "mean":
        return math.fsum(row) / len(row)
    if name == "topk":
        best = sorted(row, reverse=True)[: int(value)]
        return math.fsum(best) / len(best)
    tau, peak = float(value), max(row)
    weights = [math.exp((one - peak) / tau) for one in row]
    if name == "softmax":
        return math.fsum(weight * one for weight, one in zip(weights, row, strict=True)) / math.fsum(weights)
    return peak + tau * math.log(math.fsum(weights) / (len(row) if name == "logmeanexp" else 1))


def loop(spec: str, case: Case, change: Callable[[np.ndarray], np.ndarray] = lambda document: document) -> np.ndarray:
    """Scores (n) by float64 loops over documents and tokens; change: what is done to a document's patches before."""
    query, documents = case[0].astype(float), [change(one).astype(float) for one in case[1]]
    return np.array([math.fsum(formula(spec, (one @ token).tolist()) for token in query) for one in documents])


def apart(scores: np.ndarray, expected: np.ndarray) -> float:
    """The largest absolute difference; infinite where a score is not a number."""
    assert len(scores) == len(expected)
    return float(np.nan_to_num(np.abs(np.asarray(scores, float) - expected), nan=np.inf).max())


def asked(names: Sequence[str], of: dict[str, Case]) -> dict[str, dict[str, list[float]]]:
    """Scores by scorer and case."""
    return {name: {case: [float(one) for one in load(name)(*given)] for case, given in of.items()} for name in names}


def from_peers() -> tuple[dict[str, dict[str, list[float]]], dict[str, str]]:
    """Scores and versions from the peers' own environment; empty where it is not there."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        return {}, {}
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [python, "-m", __spec__.name, *THERE],
        cwd=root,
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return found["scores"], found["versions"]


def operators(of: dict[str, Case]):
    """Every operator's two forms against the loop, every length of a document: rows of the largest difference."""
    import torch

    from harness.aggregators import AGGREGATORS

    for spec in OPERATORS:
        operator, worst = AGGREGATORS.make(spec), {"compiled": 0.0, "torch": 0.0}
        for query, documents in of.values():
            for length in LENGTHS:
                cut = (query, [one[:length] for one in documents])
                expected = loop(spec, cut)
                plain = [operator(torch.from_numpy(query @ one.T)).sum().item() for one in cut[1]]
                for form, scores in (("compiled", load("harness", spec)(*cut)), ("torch", plain)):
                    worst[form] = max(worst[form], apart(scores, expected))
        yield {
            "operator": spec,
            **{f"{form}, of a score": one for form, one in worst.items()},
            **{f"{form}, a token": one / len(query) for form, one in worst.items()},
        }


def explained(scores: dict[str, dict[str, list[float]]], of: dict[str, Case]):
    """Of what differs, the loop that it equals instead."""

    def padded(case: str) -> Callable[[np.ndarray], np.ndarray]:
        longest = max(map(len, of[case][1]))
        return lambda one: np.pad(one, ((0, longest - len(one)), (0, 0)))

    def floored(case: str) -> Callable[[np.ndarray], np.ndarray]:
        return lambda one: np.pad(one, ((0, 1), (0, 0)))

    reasons = {
        "pylate": ("documents are padded with zero vectors to the longest of the call, without a mask", padded),
        "colbert-packed": ("maxima are floored at zero", floored),
    }
    for name, by_case in scores.items():
        for case, got in by_case.items():
            if (found := apart(got, loop("maxsim", of[case]))) <= CLOSE:
                continue
            row = {"implementation": name, "case": case, "max difference": found, "because": "not explained"}
            if name in reasons:
                row["because"], change = reasons[name]
                row["difference from a loop that does the same"] = apart(got, loop("maxsim", of[case], change(case)))
            yield row


TEXT = """
Scores are sums over 32 query tokens of 128 dimensions; documents are random unit vectors. A difference is the largest
absolute one between a score and that of a loop in float64 over documents, tokens and patches. Ours is the scoring pass
that every command uses (`harness.scoring.sweep`), not the operators' torch functions; those are in the second table,
at documents cut to 1, 32, 256 and 2,000 patches. `equal` means to 1e-4.

{missing}PyLate's and the packed colbert-ai's differences are theirs: the third table shows that each equals, to the
same precision, a loop that pads with unmasked zeros or floors at zero. With documents of one length PyLate agrees.
colbert-ai's `colbert` is its padded and masked form, `colbert-packed` what its searcher calls on the CPU.
"""


def main(folder: Path) -> Path:
    import pandas as pd

    from validation import pages

    of, (there, versions) = cases(), from_peers()
    scores = {**asked([name for name in HERE if _there(name)], of), **there}
    versions |= {name: version(package) for name, package in HERE.items() if name in scores}
    missing = [name for name in (*HERE, *THERE) if name not in scores]
    rows = [
        {
            "implementation": f"{name} {versions[name]}",
            "case": case,
            "documents": len(of[case][1]),
            "max difference": (found := apart(got, loop("maxsim", of[case]))),
            "equal": "yes" if found <= CLOSE else "no, see below",
        }
        for name, by_case in scores.items()
        for case, got in by_case.items()
    ]
    rows += [
        {
            "implementation": name,
            "case": "not installed: make validation",
            "documents": 0,
            "max difference": math.nan,
            "equal": "not tried",
        }
        for name in missing
    ]
    tables = {"maxsim": rows, "operators": list(operators(of)), "explained": list(explained(scores, of))}
    note = f"Not installed here, and not compared: {', '.join(missing)}.\n\n" if missing else ""
    frames = {name: pd.DataFrame(rows) for name, rows in tables.items()}
    title = "Do other implementations give the same scores?"
    return pages.write(folder, "implementations", title, TEXT.format(missing=note), frames)


def _there(name: str) -> bool:
    try:
        load(name)
    except OptionError:
        return False
    return True


if __name__ == "__main__":
    found = asked(sys.argv[1:], cases())
    print(json.dumps({"scores": found, "versions": {name: version(THERE[name]) for name in found}}))
