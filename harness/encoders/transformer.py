"""Any Hugging Face or sentence-transformers encoder: every token kept, each vector L2-normalised."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from harness import packages
from harness.encoders.base import FAMILIES
from harness.errors import DataError, examples, first_line
from harness.files import checksum, digest
from harness.records import Document, Query

T = TypeVar("T")

TOKENS = 8192  # tokens a batch, padding included: enough for a core's products, few enough for its caches
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")
SHIFTED = ("roberta", "mpnet", "camembert", "data2vec-text", "longformer", "luke")  # positions begin after padding's id
IDENTITY = ("*.safetensors", "*.json", "*.txt", "*.model")  # what decides a checkpoint's vectors: weights and tokenizer


@FAMILIES.register("transformer")
class Transformer:
    """Token vectors of a transformer's last layer, special tokens included; texts are cut at the model's limit."""

    rank: ClassVar[int] = 100

    @staticmethod
    def recognises(folder: Path) -> bool:
        return (folder / "config.json").exists() and any((folder / name).exists() for name in TOKENIZER)

    def __init__(self, folder: Path, dtype: str, device: str, trust: bool = False):
        check_files(folder)
        self.code = own_code(folder, trust)
        self.fingerprint = identity(folder, more=self.code)
        self.folder, self.dtype, self.device, self.limit = folder, dtype, device, positions(folder)
        self.vocabulary = folder

    @functools.cached_property
    def loaded(self) -> tuple[Any, Any]:
        """Tokenizer and model, opened when the first text is encoded: cached vectors need neither."""
        return opened(self.folder, self.dtype, self.device, bool(self.code))

    def recipe(self, role: str) -> dict[str, Any]:
        about = {"family": "transformer", "tokens": "all", "norm": "l2", "limit": self.limit, "dtype": self.dtype}
        return {**about, "packages": packages.of(*packages.MODELS)}

    def encode(self, items: Sequence[Document | Query], role: str) -> Iterator[list[tuple[int, np.ndarray]]]:
        """Batches of (index, float16 (p, d)), longest texts first."""
        import torch

        tokenizer, model = self.loaded
        ids = tokenizer(
            [item.text for item in items], truncation=True, max_length=self.limit, return_attention_mask=False
        )
        tokens: list[list[int]] = ids["input_ids"]

        def one(batch: list[int]) -> list[tuple[int, np.ndarray]]:
            padded = tokenizer.pad({"input_ids": [tokens[at] for at in batch]}, return_tensors="pt")
            with torch.inference_mode():
                hidden = model(**padded.to(self.device)).last_hidden_state.float()
                vectors = torch.nn.functional.normalize(hidden, dim=-1).half().cpu().numpy()  # (b, t, d)
            return [(at, vectors[row, : len(tokens[at])]) for row, at in enumerate(batch)]

        yield from abreast(one, batches([len(one) for one in tokens], self.device), self.device)

    def tokens(self, text: str, role: str) -> list[str]:
        """The token each vector of a text belongs to."""
        tokenizer, _ = self.loaded
        return tokenizer.convert_ids_to_tokens(tokenizer(text, truncation=True, max_length=self.limit)["input_ids"])


def check_files(folder: Path) -> None:
    """Raise DataError without a tokenizer or weights in safetensors: a pickle can run code when it is read."""
    if not any((folder / name).exists() for name in TOKENIZER):
        raise DataError(f"{folder} has no {TOKENIZER[0]}; is it a model folder?")
    if not any((folder / name).exists() for name in WEIGHTS):
        raise DataError(f"{folder} has no {WEIGHTS[0]}; convert its weights to safetensors first")


def own_code(folder: Path, trust: bool) -> list[str]:
    """The files of a checkpoint's own code, as patterns; empty if it needs none. Raises DataError if it may not run."""
    for name in ("config.json", "tokenizer_config.json"):
        if (folder / name).exists() and settings(folder / name).get("auto_map"):
            if trust:
                return ["*.py"]
            line = f"{folder / name} asks for code of its own (auto_map), which is not run"
            raise DataError(
                f"{line}; read it, and give --trust-remote-code to eval, stress, gradients or compare"
                " if you trust it; train and plan never run such code"
            )
    return []


def identity(folder: Path, parts: Sequence[str] = (".",), more: Sequence[str] = ()) -> str:
    """A name for what decides the vectors: the weights, tokenizer and settings in these parts of the folder."""
    files = sorted({path for part in parts for pattern in (*IDENTITY, *more) for path in (folder / part).glob(pattern)})
    return digest([(path.relative_to(folder).as_posix(), checksum(path)) for path in files])


def tensors(files: Sequence[Path]) -> Iterator[tuple[Path, str, Any]]:
    """(file, name, slice) of every tensor. Raises DataError naming a file that cannot be read."""
    from safetensors import safe_open

    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118
                    yield path, name, file.get_slice(name)
        except DataError:
            raise
        except Exception as error:  # safetensors' errors share no base class
            raise DataError(f"{path} cannot be read: {first_line(error)}; fetch it again") from None


def opened(folder: Path, dtype: str, device: str, trust: bool = False) -> tuple[Any, Any]:
    """Tokenizer and model of a folder. No pickle is read, and no code of the checkpoint is run unless trusted."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    quiet()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=trust)
        model, loading = AutoModel.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=trust,
            output_loading_info=True,
        )
    except Exception as error:  # whatever transformers, tokenizers and safetensors raise on broken files
        raise DataError(f"checkpoint {folder} cannot be loaded: {first_line(error)}") from None
    if absent := sorted(name for name in loading["missing_keys"] if not name.startswith("pooler.")):
        raise DataError(f"checkpoint {folder}: its weights lack {examples(absent)}; are they another model's?")
    return tokenizer, model.eval().to(device)


def quiet() -> None:
    """transformers says nothing on the way."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def check_vocabulary(folder: Path, tokenizer: Any, model: Any) -> None:
    """Raise DataError if the tokenizer knows tokens that the embedding matrix has no row for."""
    highest, rows = max(tokenizer.get_vocab().values()), len(model.get_input_embeddings().weight)
    if highest >= rows:
        raise DataError(
            f"checkpoint {folder}: its tokenizer numbers tokens up to {highest:,}, but the embeddings in {WEIGHTS[0]}"
            f" have {rows:,} rows; are they another model's?"
        )


def batches(lengths: Sequence[int], device: str) -> Iterator[list[int]]:
    """Positions, longest first, in batches whose rows × the longest row stay within the token budget.

    On the CPU the rows of a batch are equally long. Padding would change how attention's sums are split, and with that
    the last bits; so a vector depends on its text alone, not on what else is encoded.
    """
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    while order:
        longest = lengths[order[0]]
        size = max(1, TOKENS // max(1, longest))
        if device == "cpu":
            size = sum(lengths[at] == longest for at in order[:size])
        yield order[:size]
        order = order[size:]


def abreast(work: Callable[[list[int]], T], batches: Iterable[list[int]], device: str) -> Iterator[T]:
    """What work makes of every batch, in order. On the CPU batches run side by side, each on one thread alone: their
    bits do not depend on the number of threads, and no thread waits for another."""
    if device != "cpu":
        yield from map(work, batches)
        return
    import torch

    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "encode", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(work, batches)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # MKL's are the whole process's


def settings(path: Path, kind: type = dict) -> Any:
    """A JSON file's content: an object, or what kind says. Raises DataError naming the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}") from None
    if not isinstance(found, kind):
        raise DataError(f"{path} cannot be read: it holds no JSON {'object' if kind is dict else 'list'}")
    return found


def chosen(path: Path, found: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """What a file says for these keys, or the default. Raises DataError naming the file and values of another kind."""
    about = {key: default if found.get(key) is None else found[key] for key, default in defaults.items()}
    if wrong := [key for key, default in defaults.items() if type(about[key]) is not type(default)]:
        raise DataError(f"{path}: {', '.join(f'{key} is {about[key]!r}' for key in wrong)}; is the file damaged?")
    return about


def positions(folder: Path) -> int:
    """Most tokens a text may have: what the positions hold, less those that RoBERTa and its kin begin after."""
    config = settings(folder / "config.json")
    try:
        family, held = str(config.get("model_type", "")), int(config.get("max_position_embeddings") or 512)
        shifted = any(name in family for name in SHIFTED)
        return held - (int(config.get("pad_token_id") or 1) + 1 if shifted else 0)
    except (ValueError, TypeError) as error:
        raise DataError(f"{folder / 'config.json'} cannot be read: {first_line(error)}") from None
