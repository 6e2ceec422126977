"""Page images drawn for the tests, and tiny random checkpoints of colpali-engine's own classes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

if not os.environ.get("CI"):  # missing there is a failure
    pytest.importorskip("colpali_engine", reason="page images need the extra vision")

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"]
SPECIAL += ["<|video_pad|>", "<pad>", "<bos>", "<eos>", "<unk>", "<image>", "<end_of_utterance>", "<global-img>"]
SPECIAL += ["<fake_token_around_image>", *(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7))]
TEXT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
TEXT |= {"intermediate_size": 64, "max_position_embeddings": 4096}


def picture(path: Path, seed: int, size: tuple[int, int] = (120, 90)) -> Path:
    """A page of coloured blocks: the same for the same seed."""
    import numpy as np
    from PIL import Image

    blocks = np.random.default_rng(seed).integers(0, 256, (size[1] // 15, size[0] // 15, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(path)
    return path


def folder_of_pages(folder: Path, names: Sequence[str] = ("p0", "p1", "p2", "p3")) -> Path:
    """Page images of different sizes, with a query for each."""
    for at, name in enumerate(names):
        picture(folder / "images" / f"{name}.png", at, (120 + 30 * (at % 3), 90))
    rows = [{"_id": f"q{at}", "text": f"what is on page {name}"} for at, name in enumerate(names)]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "qrels").mkdir()
    judged = "".join(f"q{at}\t{name}\t1\n" for at, name in enumerate(names))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return folder


def tokenizer(kind: type, **names: str):
    """Bytes and special tokens, nothing else."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: at for at, letter in enumerate([*letters, *SPECIAL])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.add_special_tokens(SPECIAL)
    return kind(tokenizer_object=made, **names)


def id_of(token: str) -> int:
    return 256 + SPECIAL.index(token)


def grown(model):
    """The model with larger weights than by default, so that image and position matter."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3 if weight.ndim >= 2 else 1)
    return model


def save(folder: Path, config, name: str, images, tokens, **metadata) -> Path:
    """A random model of the class, with the files of its processor."""
    import importlib

    torch.manual_seed(3)
    grown(getattr(importlib.import_module("colpali_engine.models"), name)(config)).save_pretrained(folder)
    images.save_pretrained(folder)
    tokens.save_pretrained(folder)
    if metadata:
        (folder / "processor_config.json").write_text(json.dumps(metadata))
    return folder


def qwen(folder: Path, name: str = "ColQwen2", **more) -> Path:
    """A ColQwen2 or ColQwen2_5 of two layers; pages become some 20 to 60 patches."""
    import transformers as hf

    rope = {"type": "mrope", "mrope_section": [1, 1, 2]}
    text = {**TEXT, "vocab_size": 320, "rope_scaling": rope, "bos_token_id": 256, "eos_token_id": 256}
    marks = {
        f"{kind}_token_id": id_of(f"<|{mark}|>")
        for kind, mark in {
            "image": "image_pad",
            "video": "video_pad",
            "vision_start": "vision_start",
            "vision_end": "vision_end",
        }.items()
    }
    if name == "ColQwen2_5":
        vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 64, "out_hidden_size": 32}
        config = hf.Qwen2_5_VLConfig(text_config=text, vision_config={**vision, "fullatt_block_indexes": [1]}, **marks)
    else:
        vision = {"depth": 2, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2, "hidden_size": 32}
        config = hf.Qwen2VLConfig(text_config=text, vision_config=vision, **marks)
    images = hf.Qwen2VLImageProcessor(min_pixels=16 * 28 * 28, max_pixels=48 * 28 * 28)
    tokens = tokenizer(hf.Qwen2TokenizerFast, pad_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token=None)
    return save(folder, config, name, images, tokens, **more)


def native(folder: Path, name: str) -> Path:
    """ColPali or ColQwen2 as transformers itself has them: one of the models here in a shell of its own."""
    import shutil

    import transformers as hf

    inner = (gemma if name == "ColPaliForRetrieval" else qwen)(folder.parent / f"inner-{name}")
    kind = getattr(hf, name.replace("ForRetrieval", "Config"))
    torch.manual_seed(3)
    config = kind(vlm_config=hf.AutoConfig.from_pretrained(inner), embedding_dim=64)
    grown(getattr(hf, name)(config)).save_pretrained(folder)
    for path in inner.iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            shutil.copy(path, folder)
    return folder


def idefics(folder: Path) -> Path:
    """A ColIdefics3 of two layers; pages become tiles of 64 patches each."""
    import transformers as hf

    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    vision |= {"image_size": 112, "patch_size": 7}
    config = hf.Idefics3Config(
        text_config={**TEXT, "model_type": "llama", "vocab_size": 320, "pad_token_id": id_of("<pad>")},
        vision_config=vision,
        scale_factor=2,
        image_token_id=id_of("<image>"),
        pad_token_id=id_of("<pad>"),
    )
    images = hf.Idefics3ImageProcessor(size={"longest_edge": 224}, max_image_size={"longest_edge": 112})
    tokens = tokenizer(hf.PreTrainedTokenizerFast, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>")
    return save(folder, config, "ColIdefics3", images, tokens, image_seq_len=64)


def gemma(folder: Path) -> Path:
    """A ColPali of two layers; every page becomes 4 × 4 patches."""
    import transformers as hf

    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    vision |= {"image_size": 56, "patch_size": 14, "model_type": "siglip_vision_model", "projection_dim": 32}
    text = {**TEXT, "model_type": "gemma", "vocab_size": 320, "head_dim": 8, "pad_token_id": id_of("<pad>")}
    config = hf.PaliGemmaConfig(
        text_config=text,
        vision_config=vision,
        image_token_index=id_of("<image>"),
        projection_dim=32,
        hidden_size=32,
        pad_token_id=id_of("<pad>"),
    )
    images = hf.SiglipImageProcessor(size={"height": 56, "width": 56})
    images.image_seq_length = 16
    tokens = tokenizer(
        hf.GemmaTokenizerFast, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    return save(folder, config, "ColPali", images, tokens)
