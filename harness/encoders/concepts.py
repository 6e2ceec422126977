"""Vectors of the synthetic world: a word is normalize(concept + noise), then, in a trained checkpoint, a small network.

A checkpoint of ``harness synth`` is a folder with ``world.json`` and ``network.safetensors``; the name ``concepts`` is
the world without a network.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness import packages
from harness.encoders.base import FAMILIES, NAMED
from harness.errors import DataError, OptionError, examples, first_line
from harness.files import checksum, digest, write_atomically
from harness.randomness import generator
from harness.records import Document, Query

if TYPE_CHECKING:
    import torch

BATCH = 256  # items a batch
LAYERS = 3


@functools.lru_cache(maxsize=16)
def dictionary(seed: int, concepts: int, dim: int) -> np.ndarray:
    """Gaussian concepts of norm 1, float32 (C, d)."""
    return _unit(generator(seed, "dictionary").standard_normal((concepts, dim), np.float32))


def raw(text: str) -> np.ndarray:
    """A world text's vectors before any network, float32 (p, d). The noise of an item is a function of its name."""
    name, *words = text.split()
    try:
        key = name.split("@")[1]
        seed, concepts, dim, noise = key.split(",")
        known = dictionary(int(seed), int(concepts), int(dim))
        mixes = [[int(concept[1:]) for concept in word.split("+")] for word in words]
        clean = known[[mix[0] for mix in mixes]]
        for at, mix in enumerate(mixes):
            if len(mix) > 1:
                clean[at] = _unit(known[mix].mean(0))
    except (ValueError, IndexError):
        line = f"{text[:40]!r} is no text of the synthetic world; use this checkpoint with --dataset synthetic"
        raise DataError(line) from None
    jitter = generator(int(seed), "noise", name.split("@")[0]).standard_normal(clean.shape, np.float32)
    return _unit(clean + np.float32(noise) * jitter)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def network(dim: int, width: int, random: np.random.Generator) -> torch.nn.Sequential:
    """The study's encoder: three layers with ReLU between, weights drawn uniformly in ±1/√inputs, as torch begins."""
    import torch

    empty: Any = torch.nn.utils.skip_init
    sizes = [dim, *[width] * (LAYERS - 1), dim]
    layers: list[torch.nn.Module] = []
    for wide, out in itertools.pairwise(sizes):
        layer = empty(torch.nn.Linear, wide, out)
        with torch.no_grad():
            for weights in (layer.weight, layer.bias):
                drawn = random.uniform(-1, 1, tuple(weights.shape)) / np.sqrt(wide)
                weights.copy_(torch.from_numpy(drawn.astype(np.float32)))
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def apply(trained: torch.nn.Sequential | None, vectors: torch.Tensor) -> torch.Tensor:
    """Through the network and normalised: (…, d) → (…, d). Without one, the vectors as they are."""
    import torch

    return vectors if trained is None else torch.nn.functional.normalize(trained(vectors), dim=-1)


@NAMED.register("concepts")
@dataclass
class Concepts:
    """The synthetic world's own vectors, no network (for --dataset synthetic)."""

    dtype: str
    device: str

    fingerprint = "concepts"
    trained: torch.nn.Sequential | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if self.dtype != "float32":
            raise OptionError(f"the synthetic world's vectors are float32, not {self.dtype}; leave --dtype out")

    def recipe(self, role: str) -> dict[str, Any]:
        return {"family": "concepts", "packages": packages.of("numpy", *["torch"] * (self.trained is not None))}

    def encode(self, items: Sequence[Document | Query], role: str) -> Iterator[list[tuple[int, np.ndarray]]]:
        import torch

        texts = [item.text for item in items]
        if foreign := [text.split()[0] for text in texts if self.key and text.split()[0].split("@")[-1] != self.key]:
            raise DataError(
                f"this encoder was trained on world {self.key}, not that of {examples(foreign)};"
                " use the checkpoint named concepts, or train on that world"
            )
        for start in range(0, len(texts), BATCH):
            vectors = [raw(text) for text in texts[start : start + BATCH]]
            with torch.no_grad():
                made = [apply(self.trained, torch.from_numpy(one)).numpy().astype(np.float16) for one in vectors]
            yield list(enumerate(made, start))

    def tokens(self, text: str, role: str) -> list[str]:
        return text.split()[1:]


@FAMILIES.register("concepts")
class Trained(Concepts):
    """A network that ``harness synth`` trained."""

    rank: ClassVar[int] = 0
    exact: ClassVar[bool] = True

    @staticmethod
    def recognises(folder: Path) -> bool:
        return (folder / "world.json").exists()

    def __init__(self, folder: Path, dtype: str, device: str, trust: bool = False):
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        super().__init__(dtype, device)
        try:
            metadata = json.loads((folder / "world.json").read_text())
            self.fingerprint = digest(metadata, checksum(folder / "network.safetensors"))
            self.key = metadata["key"]
            self.trained = network(metadata["dim"], metadata["width"], np.random.default_rng(0))
            self.trained.load_state_dict(load_file(folder / "network.safetensors"))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise DataError(f"checkpoint {folder} cannot be loaded: {first_line(error)}") from None


def save(folder: Path, trained: torch.nn.Sequential, metadata: dict[str, Any]) -> None:
    """Write a checkpoint. about: at least the world's key, dim and the network's width."""
    from safetensors.torch import save as serialise

    state = {name: weights.detach().cpu().contiguous() for name, weights in trained.state_dict().items()}
    write_atomically(folder / "network.safetensors", serialise(state))
    write_atomically(folder / "world.json", json.dumps(metadata, indent=1).encode())
