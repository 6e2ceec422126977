"""Any Hugging Face or sentence-transformers encoder: every token kept, each vector L2-normalised."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness import packages
from harness.encoders.base import FAMILIES
from harness.encoders.encoding import TextEncoder
from harness.encoders.files import TOKENIZER, WEIGHTS, check_files
from harness.encoders.modules import check_plain
from harness.encoders.rows import Reading
from harness.encoders.settings import settings
from harness.errors import DataError, examples, first_line
from harness.files import checksum, digest

if TYPE_CHECKING:
    import torch

SHIFTED = ("roberta", "mpnet", "camembert", "data2vec-text", "longformer", "luke")  # positions begin after padding's id
IDENTITY = ("*.safetensors", "*.json", "*.txt", "*.model")  # what decides a checkpoint's vectors: weights and tokenizer


@FAMILIES.register("transformer")
class Transformer(TextEncoder):
    """Token vectors of a transformer's last layer, special tokens included; texts are cut at the model's limit."""

    rank: ClassVar[int] = 100

    @staticmethod
    def recognises(folder: Path) -> bool:
        return (folder / "config.json").exists() and any((folder / name).exists() for name in TOKENIZER)

    def __init__(self, folder: Path, dtype: str, device: str, trust: bool = False):
        check_plain(folder)
        check_files(folder)
        self.code = own_code(folder, trust)
        self.fingerprint = identity(folder, more=self.code)
        self.folder, self.dtype, self.device, self.limit = folder, dtype, device, positions(folder)
        self.vocabulary = folder

    @functools.cached_property
    def loaded(self) -> tuple[Any, Any]:
        """Tokenizer and model, opened when the first text is encoded: cached vectors need neither."""
        return opened(self.folder, self.dtype, self.device, bool(self.code))

    def facts(self, role: str) -> dict[str, Any]:
        metadata = {"family": "transformer", "tokens": "all", "norm": "l2", "limit": self.limit, "dtype": self.dtype}
        return {**metadata, "packages": packages.of(*packages.MODELS)}

    def reading(self, role: str) -> Reading:
        return Reading(self.loaded[0], self.limit)

    def forward(self, ids: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.loaded[1](input_ids=ids, attention_mask=attended).last_hidden_state
        return hidden


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
    from transformers import AutoModel

    quiet()
    try:
        tokenizer = tokenizer_of(folder, trust)
        model, loading = AutoModel.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=trust, output_loading_info=True, **as_dtype(dtype)
        )
    except Exception as error:  # whatever transformers, tokenizers and safetensors raise on broken files
        raise DataError(f"checkpoint {folder} cannot be loaded: {first_line(error)}") from None
    if absent := sorted(name for name in loading["missing_keys"] if not name.startswith("pooler.")):
        raise DataError(f"checkpoint {folder}: its weights lack {examples(absent)}; are they another model's?")
    return tokenizer, model.eval().to(device)


def tokenizer_of(folder: Path, trust: bool = False) -> Any:
    """The tokenizer of a folder, as transformers opens it."""
    import transformers

    kind: Any = transformers.AutoTokenizer
    return kind.from_pretrained(folder, use_fast=True, trust_remote_code=trust)


def as_dtype(dtype: str) -> dict[str, Any]:
    """The numbers that a model computes in, under the name that the installed transformers has for them."""
    import torch

    major, minor = (int(part) for part in version("transformers").split(".")[:2])
    return {"dtype" if (major, minor) >= (4, 56) else "torch_dtype": getattr(torch, dtype)}


def quiet() -> None:
    """transformers says nothing on the way."""
    from transformers import utils

    logging: Any = utils.logging
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


def positions(folder: Path) -> int:
    """Most tokens a text may have: what the positions hold, less those that RoBERTa and its kin begin after."""
    config = settings(folder / "config.json")
    try:
        family, held = str(config.get("model_type", "")), int(config.get("max_position_embeddings") or 512)
        shifted = any(name in family for name in SHIFTED)
        return held - (int(config.get("pad_token_id") or 1) + 1 if shifted else 0)
    except (ValueError, TypeError) as error:
        raise DataError(f"{folder / 'config.json'} cannot be read: {first_line(error)}") from None
