"""Specs, options, config files and dataset cards."""

from __future__ import annotations

import yaml

from fuzzing.judging import TARGETS, Place, Target
from fuzzing.mutating import Files
from harness import corpora
from harness.aggregators import AGGREGATORS
from harness.commands import file
from harness.corpora.base import card_of
from harness.options import read_config, resolve

SPECS = ["maxsim", "mean", "topk:4", "topk:k=16", "softmax:0.1", "softmax:tau=1e-1", "logsumexp:1.0", "logmeanexp:2"]
KINDS = {name: file(name).CONFIG for name in ("eval", "stress", "gradients", "train", "synth")}


def spec(place: Place) -> None:
    """A spec is refused, or has one canonical text."""
    text = (place.given / "spec").read_bytes().decode("utf-8", "surrogateescape")
    made = AGGREGATORS.make(text)
    assert AGGREGATORS.make(str(made)) == made


def options(place: Place) -> None:
    """Options as text, ``key=value`` a line, as the command line gives them."""
    lines = (place.given / "options").read_bytes().decode("utf-8", "surrogateescape").split("\n")
    command, *rest = lines
    given = dict(line.partition("=")[::2] for line in rest if line)
    kind = KINDS.get(command, KINDS["eval"])
    made = resolve(kind, **given)
    assert resolve(kind, **made.plain()) == made


def from_file(place: Place) -> None:
    """A config file, of the command it says it is of."""
    path = place.given / "asked" / "config.yaml"
    kind = next((one for name, one in KINDS.items() if f"command: {name}".encode() in path.read_bytes()), None)
    kind = kind or KINDS["eval"]
    made = resolve(kind, **read_config(kind, path))
    assert resolve(kind, **made.plain()) == made


def card(place: Place) -> None:
    """Every card of a folder; what a card describes is loaded, but for what would be downloaded."""
    for path in sorted(place.given.glob("*.yaml")):
        card_of(path)
    for name in sorted(path.stem for path in place.given.glob("*.yaml")):
        found = corpora.check(name)
        if found.source == "synthetic" or found.folder:
            corpora.load(name)


def _lines(**given: str) -> bytes:
    return "\n".join(f"{key}={value}" for key, value in given.items()).encode()


def _options(_: Place) -> list[Files]:
    texts = [
        b"eval\n" + _lines(pool="maxsim,topk:4", lengths="32,64", arms="truncate,pad", depth="100", seed="0"),
        b"eval\n" + _lines(measures="nDCG@10,R@1,P(rel=2)@10", candidates="bm25", limit="3", dtype="bfloat16"),
        b"eval\n" + _lines(dataset="scifact", split="test", checkpoint="minilm", evidence="5", fill="zero"),
        b"stress\n" + _lines(inject="hard,spike", counts="0,25,50", cosine="0.6", tokens="4", index="IVF8,Flat"),
        b"gradients\n" + _lines(pool="mean", lengths="64,128", pairs="20"),
        b"train\n" + _lines(dataset="scifact", what="projection", rate="0.001", batch="32", held_out="0.1"),
        b"synth\n" + _lines(pool="maxsim", seeds="2", epochs="4", every="2", support="4,8", train_length="64"),
    ]
    return [{"options": text} for text in texts]


def _configs(_: Place) -> list[Files]:
    made = [resolve(kind) for kind in KINDS.values()]
    return [{"asked/config.yaml": yaml.safe_dump({"command": one.command, **one.plain()}).encode()} for one in made]


def _cards(_: Place) -> list[Files]:
    corpus = {
        "toy/corpus.jsonl": b'{"_id": "d", "title": "t", "text": "x"}\n',
        "toy/queries.jsonl": b'{"_id": "q", "text": "y"}\n',
        "toy/qrels/test.tsv": b"q\td\t1\n",
    }
    toy = {
        "source": "beir",
        "description": "a toy",
        "splits": ["test"],
        "url": "https://example.org/x.zip",
        "licence": "",
        "query_length": 32,
        "document_length": 180,
        "md5": "0" * 32,
        "drop_empty": False,
    }
    world = {
        "source": "synthetic",
        "splits": ["test", "train"],
        "checkpoint": "concepts",
        "world": {"queries": 4, "patches": 16, "tokens": 8, "support": 4, "shared": 2, "mixed": 2},
    }
    return [{"toy.yaml": yaml.safe_dump(toy).encode(), **corpus}, {"world.yaml": yaml.safe_dump(world).encode()}]


TARGETS.register("specs")(Target(lambda _: [{"spec": text.encode()} for text in SPECS], spec, listed=True))
TARGETS.register("options")(Target(_options, options, listed=True))
TARGETS.register("configs")(Target(_configs, from_file, listed=True))
TARGETS.register("cards")(Target(_cards, card))
