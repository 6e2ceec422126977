"""Page-image checkpoints: ColPali, ColQwen2, ColQwen2.5 and ColIdefics3 (ColSmol), by colpali-engine's own classes.

A checkpoint is a folder of whole weights, or of a PEFT adapter whose ``adapter_config.json`` names its base: a folder
or a hub id. ``ColPaliForRetrieval`` and ``ColQwen2ForRetrieval``, as transformers has them, are read too. Images are
resized by Pillow and not by torchvision, so that vectors do not depend on whether torchvision is there.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness import packages
from harness.encoders import colpali_files as files
from harness.encoders.base import FAMILIES
from harness.encoders.transformer import TOKENIZER, identity, quiet, tensors
from harness.errors import DataError, examples, first_line
from harness.files import digest
from harness.images import image
from harness.records import Document, Page, Query

PAGES, QUERIES = 2, 16  # items a batch; a page is hundreds of tokens


@FAMILIES.register("colpali")
class ColPali:
    """Documents are page images, queries texts with the engine's suffix; every attended token has a vector."""

    reads: ClassVar[str] = "pages"
    rank: ClassVar[int] = 5

    @staticmethod
    def recognises(folder: Path) -> bool:
        return files.recognises(folder)

    def __init__(self, folder: Path, dtype: str, device: str, trust: bool = False):
        self.folder, self.dtype, self.device = folder, dtype, device
        self.base = files.base_of(folder) if (folder / files.ADAPTER_CONFIG).exists() else folder
        self.kind = files.kind_of(folder, self.base)
        self.weights = files.check_weights(self.base)
        self.adapter = files.check_weights(folder, [files.ADAPTER]) if self.base != folder else []
        self.fingerprint = identity(folder) if not self.adapter else digest(identity(folder), identity(self.base))

    @functools.cached_property
    def loaded(self) -> tuple[Any, Any]:
        """Processor and model, opened when the first item is encoded: cached vectors need neither."""
        quiet()
        files.check_projection([*self.weights, *self.adapter], self.kind)
        try:
            return _processor(self.kind, [self.folder, self.base]), self._model()
        except DataError:
            raise
        except Exception as error:  # whatever transformers, peft and safetensors raise on broken files
            line = " ".join(str(error).split())[:300] or type(error).__name__
            raise DataError(f"checkpoint {self.folder} cannot be loaded: {line}") from None

    def _model(self) -> Any:
        import torch

        kind = getattr(importlib.import_module(self.kind.module), self.kind.model)
        model, loading = kind.from_pretrained(
            self.base,
            dtype=getattr(torch, self.dtype),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        given = {name.removeprefix("base_model.model.") for _, name, _ in tensors(self.adapter)}
        if absent := sorted(set(loading["missing_keys"]) - given):
            raise DataError(f"checkpoint {self.base}: its weights lack {examples(absent)}; are they another model's?")
        for path in self.adapter:
            renamed = {"key_mapping": getattr(kind, "_checkpoint_conversion_mapping", None)}  # as from_pretrained does
            model.load_adapter(str(path.parent), adapter_kwargs=renamed)
            files.check_adapter(path, model)
        return model.eval().to(self.device)

    def recipe(self, role: str) -> dict[str, Any]:
        computed = packages.of("colpali-engine", "peft", "pillow", *packages.MODELS)
        common = {
            "family": "colpali",
            "class": self.kind.model,
            "role": role,
            "dtype": self.dtype,
            "packages": computed,
        }
        made = {"input": "process_queries"} if role == "query" else {"input": "process_images", "resized": "Pillow"}
        return {**common, **made, "tokens": "attended", "norm": "l2"}

    def encode(self, items: Sequence[Document | Query], role: str) -> Iterator[list[tuple[int, np.ndarray]]]:
        """Batches of (index, float16 (p, d)). Raises DataError naming items whose vectors are no numbers."""
        import torch

        size = QUERIES if role == "query" else PAGES
        for start in range(0, len(items), size):
            part = items[start : start + size]
            inputs = self._inputs(part).to(self.device)
            with torch.inference_mode():
                made = self.loaded[1](**inputs)
                vectors = getattr(made, "embeddings", made).half()  # (b, t, d), zero in padded tokens
            kept = inputs["attention_mask"].bool()
            found = [one[mask].cpu().numpy() for one, mask in zip(vectors, kept, strict=True)]
            if wrong := [item.id for item, one in zip(part, found, strict=True) if not np.isfinite(one).all()]:
                why = files.broken([*self.weights, *self.adapter])
                raise DataError(f"{why}: no vectors can be made of {examples(wrong)}; fetch the checkpoint again")
            yield [(start + at, one) for at, one in enumerate(found)]

    def _inputs(self, items: Sequence[Document | Query]) -> Any:
        """What the model takes. Raises DataError naming items that the processor refuses."""
        processor, _ = self.loaded
        pages = [item.page for item in items if isinstance(item, Document) and item.page]
        try:
            if pages:
                return processor.process_images([image(page.path) for page in pages])
            return processor.process_queries([item.text for item in items])
        except (ValueError, RuntimeError) as error:
            names = examples(item.id for item in items)
            raise DataError(f"checkpoint {self.folder} cannot take {names}: {first_line(error)}") from None

    def tokens(self, text: str, role: str) -> list[str]:
        """The token each vector of a query belongs to; a page has no text: see ``patches``."""
        inputs = self._inputs([Query("", text)])
        return self._strings(inputs)

    def patches(self, page: Page) -> list[str]:
        """Of each vector of a page: ``patch 3,17`` (row, column), ``patch 12`` in tiles, or a token of the prompt."""
        inputs, (processor, _) = self._inputs([Document("", "", page)]), self.loaded
        names, ids = self._strings(inputs), inputs["input_ids"][inputs["attention_mask"].bool()]
        image_token = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
        places = (ids == image_token).nonzero().ravel().tolist()
        columns = self._columns(inputs, len(places))
        for number, at in enumerate(places):
            names[at] = f"patch {number // columns},{number % columns}" if columns else f"patch {number}"
        return names

    def _strings(self, inputs: Any) -> list[str]:
        ids = inputs["input_ids"][inputs["attention_mask"].bool()]
        return self.loaded[0].tokenizer.convert_ids_to_tokens(ids.tolist())

    def _columns(self, inputs: Any, patches: int) -> int:
        """Patches in a row of the page, or 0 where it is cut into tiles."""
        if "image_grid_thw" in inputs:
            return int(inputs["image_grid_thw"][0, 2]) // self.loaded[0].image_processor.merge_size
        return math.isqrt(patches) if self.kind.images == "SiglipImageProcessor" else 0


def _processor(kind: files.Kind, folders: Sequence[Path]) -> Any:
    """The engine's processor, of the first folder that has its files. Videos, which need torchvision, are left out."""
    import transformers

    def place(*names: str) -> Path:
        for folder in folders:
            if any((folder / name).exists() for name in names):
                return folder
        raise DataError(f"{folders[0]} has no {names[0]}; copy it from the model it was trained from")

    tokenizer = transformers.AutoTokenizer.from_pretrained(place(*TOKENIZER), use_fast=True, trust_remote_code=False)
    about = place("preprocessor_config.json", "processor_config.json")
    images = getattr(transformers, kind.images).from_pretrained(about)
    whole = getattr(importlib.import_module(kind.module), kind.processor)
    parts = [name for name in whole.attributes if name != "video_processor"]
    made: Any = type(kind.processor, (whole,), {"attributes": parts})
    return made.from_args_and_dict([images, tokenizer], whole.get_processor_dict(about)[0])
