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
from harness.encoders.files import TOKENIZER
from harness.encoders.transformer import as_dtype, identity, quiet, tensors, tokenizer_of
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
        kind = getattr(importlib.import_module(self.kind.module), self.kind.model)
        model, loading = kind.from_pretrained(
            self.base,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **as_dtype(self.dtype),
        )
        given = {name.removeprefix("base_model.model.") for _, name, _ in tensors(self.adapter)}
        if absent := sorted(set(loading["missing_keys"]) - given):
            raise DataError(f"checkpoint {self.base}: its weights lack {examples(absent)}; are they another model's?")
        if any(weight.is_meta for weight in model.parameters()):  # of ColPali in transformers 5: the head it never uses
            model.model.tie_weights()
        for path in self.adapter:
            _load_adapter(model, path.parent)
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
        return {**common, **made, "tokens": "attended", "norm": "l2", "batched": "equal shapes"}

    def encode(self, items: Sequence[Document | Query], role: str) -> Iterator[list[tuple[int, np.ndarray]]]:
        """Batches of (index, float16 (p, d)). Raises DataError naming items whose vectors are no numbers."""
        import torch

        size = QUERIES if role == "query" else PAGES
        for start in range(0, len(items), size):
            for group, inputs in self._groups(items[start : start + size]):
                with torch.inference_mode():
                    output = self.loaded[1](**inputs)
                    vectors = getattr(output, "embeddings", output).half()  # (b, t, d)
                attended = inputs["attention_mask"].bool()
                arrays = [vector[mask].cpu().numpy() for vector, mask in zip(vectors, attended, strict=True)]
                if wrong := [at for at, array in zip(group, arrays, strict=True) if not np.isfinite(array).all()]:
                    why = files.broken([*self.weights, *self.adapter])
                    names = examples(items[start + at].id for at in wrong)
                    raise DataError(f"{why}: no vectors can be made of {names}; fetch the checkpoint again")
                yield [(start + at, array) for at, array in zip(group, arrays, strict=True)]

    def _groups(self, items: Sequence[Document | Query]) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """Items of equal shapes, by position, and what the model takes of them at once.

        Padding would change vectors: under transformers 5 it turns other attention on in PaliGemma, for every row.
        """
        import torch

        separate = [self._inputs([item]) for item in items]
        groups: dict[tuple[Any, ...], list[int]] = {}
        for at, inputs in enumerate(separate):
            groups.setdefault(tuple((name, value.shape) for name, value in inputs.items()), []).append(at)
        for group in groups.values():
            yield (
                group,
                {name: torch.cat([separate[at][name] for at in group]).to(self.device) for name in separate[group[0]]},
            )

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
        strings: list[str] = self.loaded[0].tokenizer.convert_ids_to_tokens(ids.tolist())
        return strings

    def _columns(self, inputs: Any, patches: int) -> int:
        """Patches in a row of the page, or 0 where it is cut into tiles."""
        if "image_grid_thw" in inputs:
            return int(inputs["image_grid_thw"][0, 2] // self.loaded[0].image_processor.merge_size)
        return math.isqrt(patches) if self.kind.images == "SiglipImageProcessor" else 0


def _load_adapter(model: Any, folder: Path) -> None:
    """Put an adapter on a model, its layers renamed as ``from_pretrained`` renames the model's own."""
    renamed = getattr(type(model), "_checkpoint_conversion_mapping", None)
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
    except ImportError:  # transformers 4
        model.load_adapter(str(folder), adapter_kwargs={"key_mapping": renamed})
    else:
        model.load_adapter(str(folder), weight_mapping=get_model_conversion_mapping(model, renamed))


def _processor(kind: files.Kind, folders: Sequence[Path]) -> Any:
    """The engine's processor, of the first folder that has its files. Videos, which need torchvision, are left out."""
    import transformers

    def place(*names: str) -> Path:
        for folder in folders:
            if any((folder / name).exists() for name in names):
                return folder
        raise DataError(f"{folders[0]} has no {names[0]}; copy it from the model it was trained from")

    tokenizer = tokenizer_of(place(*TOKENIZER))
    metadata = place("preprocessor_config.json", "processor_config.json")
    # transformers 5 has one for Pillow beside one for torchvision, which it names as transformers 4 names Pillow's
    images = getattr(transformers, f"{kind.images}Pil", None) or getattr(transformers, kind.images)
    images = images.from_pretrained(metadata)
    whole = getattr(importlib.import_module(kind.module), kind.processor)
    parts, attributes = [images, tokenizer], {}
    if hasattr(whole, "attributes"):  # transformers 4
        attributes = {"attributes": [name for name in whole.attributes if name != "video_processor"]}
    elif "video_processor" in whole.get_attributes():
        parts.append(getattr(transformers, kind.images.replace("Image", "Video"))())
    made: Any = type(kind.processor, (whole,), attributes)
    return made.from_args_and_dict(parts, whole.get_processor_dict(metadata)[0])
