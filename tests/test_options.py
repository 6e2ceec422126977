"""Options: canonical specs, every mistake named and all of them at once, and the config file that repeats a run."""

from __future__ import annotations

import dataclasses
import inspect

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

import harness
from harness import cli, commands
from harness.aggregators import AGGREGATORS
from harness.commands import NAMES, SUMMARIES
from harness.commands.eval import EvalConfig
from harness.commands.synth import SynthConfig
from harness.commands.train import TrainConfig
from harness.errors import HarnessError, OptionError
from harness.options import options as names
from harness.options import read_config, resolve, usual
from harness.registry import Registry, spec_of
from harness.runs import RunDirectory
from validation import stub

SPECS = {
    "maxsim": "maxsim",
    " mean ": "mean",
    "topk": "topk:4",
    "topk:4": "topk:4",
    "topk:k=4": "topk:4",
    "topk:007": "topk:7",
    "softmax": "softmax:0.1",
    "softmax:1": "softmax:1.0",
    "softmax:tau=1e-1": "softmax:0.1",
    "logsumexp:1_0": "logsumexp:10.0",
}


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_has_one_canonical_text(spec):
    made = AGGREGATORS.make(spec)
    assert str(made) == SPECS[spec] and AGGREGATORS.make(str(made)) == made


WRONG_SPECS = {
    "maxsmi": "did you mean 'maxsim'",
    "TOPK:4": "did you mean 'topk'",
    "maxsim:1": "no parameter",
    "topk:4:5": "topk|k=4",
    "topk:tau=4": "'tau'",
    "topk:k=4:k=5": "k=4",
    "topk:four": "whole number",
    "topk:": "whole number",
    "topk:1.5": "whole number",
    "topk:0": "at least 1",
    "softmax:hot": "number",
    "softmax:0": "at least 1e-06",
    "softmax:-1": "at least 1e-06",
    "softmax:nan": "at least 1e-06",
    "softmax:1e999": "finite",
    "": "known",
}


@pytest.mark.parametrize("spec", WRONG_SPECS)
def test_a_wrong_spec_is_one_line_that_says_what_is_wrong(spec):
    with pytest.raises(OptionError, match=WRONG_SPECS[spec]) as caught:
        AGGREGATORS.make(spec)
    assert len(caught.value.problems) == 1 and "\n" not in str(caught.value)


@dataclasses.dataclass(frozen=True)
class Plug:
    width: int = 1
    heat: float = 0.5

    def __str__(self) -> str:
        return spec_of("plug", self)


@pytest.mark.parametrize(
    "spec, canonical",
    [
        ("plug", "plug:1:0.5"),
        ("plug:2:3", "plug:2:3.0"),
        ("plug:heat=3", "plug:1:3.0"),
        ("plug:2:heat=3", "plug:2:3.0"),
    ],
)
def test_a_registered_plugin_is_made_by_place_or_name(spec, canonical):
    registry = Registry("toy")
    assert registry.register("plug")(Plug) is Plug and list(registry) == ["plug"] and registry["plug"] is Plug
    assert str(registry.make(spec)) == str(registry.make(canonical)) == canonical
    with pytest.raises(ValueError, match="already"):
        registry.register("plug")(Plug)
    with pytest.raises(OptionError, match="twice"):
        registry.make("plug:2:width=3")
    registry.forget("plug")
    with pytest.raises(OptionError, match="unknown toy 'plug'"):
        registry.make("plug")


BAD = [
    ({"dataset": "scifcat"}, "did you mean 'scifact'"),
    ({"dataset": "SciFact"}, "did you mean 'scifact'"),
    ({"dataset": "./nowhere"}, "corpus.jsonl"),
    ({"dataset": "."}, "no corpus there"),
    ({"dataset": "/"}, "no corpus there"),
    ({"dataset": "a" * 300}, "unknown dataset"),
    ({"dataset": "./" + "é" * 120}, "unknown dataset"),
    ({"dataset": "a/" * 3000}, "unknown dataset"),
    ({"dataset": "scifact", "split": "tset"}, "did you mean 'test'"),
    ({"dataset": "scifact", "split": 2020}, "2020"),
    ({"checkpoint": "minilmm"}, "did you mean 'minilm'"),
    ({"checkpoint": "a" * 300}, "checkpoint"),
    ({"checkpoint": "embeddings:" + "é" * 120}, "checkpoint"),
    ({"pool": "maxsin"}, "did you mean 'maxsim'"),
    ({"pool": "maxsim,topk:0"}, "at least 1"),
    ({"pool": "maxsim,topk,topk:4"}, "topk:4 is given twice"),
    ({"pool": "maxsim,,mean"}, "empty entry"),
    ({"pool": []}, "pool: nothing given"),
    ({"fill": "guassian"}, "did you mean 'gaussian'"),
    ({"arms": "truncate,pda"}, "did you mean 'pad'"),
    ({"arms": "pad,pad"}, "pad is given twice"),
    ({"candidates": "fais"}, "did you mean 'faiss'"),
    ({"dtype": "bfloat"}, "did you mean 'bfloat16'"),
    ({"dtype": 16}, "16"),
    ({"measures": "nDGC@10"}, "did you mean 'nDCG@10'"),
    ({"measures": "nDCG@ten"}, "nDCG@ten"),
    ({"measures": "nDCG@10.5"}, "nDCG@10.5"),
    ({"measures": "nDCG@0"}, "nDCG@0"),
    ({"measures": "R@1,R@1"}, "R@1 is given twice"),
    ({"measures": "nDCG@10,R@101"}, "R@101.* depth 100.*--depth 101"),
    ({"lengths": "0"}, "at least 1"),
    ({"lengths": "32,-64"}, "length -64"),
    ({"lengths": "--32"}, "whole number"),
    ({"lengths": "32,64,32"}, "32 is given twice"),
    ({"lengths": "32,032"}, "32 is given twice"),
    ({"lengths": "32,sixty"}, "'sixty' is not a whole number"),
    ({"lengths": [32.5]}, "'32.5' is not a whole number"),
    ({"lengths": [True]}, "whole number"),
    ({"lengths": "9" * 5000}, "length"),
    ({"lengths": "32,,64"}, "empty entry"),
    ({"lengths": "32,64,"}, "empty entry"),
    ({"lengths": ""}, "empty entry"),
    ({"lengths": []}, "lengths: nothing given"),
    ({"depth": 0}, "depth 0"),
    ({"depth": "deep"}, "'deep' is not a whole number"),
    ({"limit": 0}, "limit 0"),
    ({"limit": -5}, "limit -5"),
    ({"evidence": 0}, "evidence 0"),
    ({"evidence": ""}, "evidence"),
    ({"seed": -1}, "seed -1"),
    ({"measures": [True]}, "True"),
    ({"poool": "maxsim"}, "unknown option 'poool'; did you mean 'pool'"),
]


@pytest.mark.parametrize("given, wanted", BAD, ids=[str(options)[:40] for options, _ in BAD])
def test_a_bad_value_is_one_line_that_names_it(given, wanted):
    with pytest.raises(OptionError, match=wanted) as caught:
        resolve(EvalConfig, **given)
    assert len(caught.value.problems) == 1 and "\n" not in str(caught.value)


def test_all_mistakes_are_reported_at_once():
    with pytest.raises(OptionError) as caught:
        resolve(
            EvalConfig,
            dataset="scifcat",
            checkpoint="minilmm",
            pool="maxsin,topk:0,mean",
            lengths="0,32,32,x",
            arms="pda",
            fill="guassian",
            candidates="fais",
            depth=0,
            measures="nDGC@10",
            limit=-1,
            dtype="bfloat",
            seed="s",
        )
    wanted = ["scifcat", "minilmm", "maxsin", "topk:0", "length 0", "32 is given twice", "'x'", "pda", "guassian"]
    wanted += ["fais", "depth 0", "nDGC@10", "limit -1", "bfloat", "seed 's'"]
    assert [words for words in wanted if words not in str(caught.value)] == []
    assert len(caught.value.problems) == len(wanted)


def test_nothing_given_is_the_default_question():
    config = resolve(EvalConfig, **dict.fromkeys(names(EvalConfig)))
    assert config == resolve(
        EvalConfig,
    ) and (config.dataset, config.split, config.pool) == ("stdlib", "test", ("maxsim",))
    assert config.lengths == (32, 64, 128, 256) and config.measures == ("nDCG@10", "R@1", "R@10")


@pytest.mark.parametrize(
    "key, text, items, resolved",
    [
        ("pool", "maxsim, topk:k=4 ,softmax:1", ["maxsim", "topk", "softmax:1.0"], ("maxsim", "topk:4", "softmax:1.0")),
        ("lengths", "256, 32,64", (64, "256", 32), (32, 64, 256)),
        ("lengths", "7", 7, (7,)),
        ("arms", "pad,truncate", ["pad", "truncate"], ("pad", "truncate")),
        ("measures", "AP,R@100", ["AP", "R@100"], ("AP", "R@100")),
    ],
)
def test_a_list_is_the_same_as_comma_separated_text(key, text, items, resolved):
    config = resolve(EvalConfig, **{key: text})
    assert config == resolve(EvalConfig, **{key: items}) and getattr(config, key) == resolved


def test_a_measure_may_look_as_deep_as_the_candidates():
    assert resolve(EvalConfig, measures="R@500", depth="500").depth == 500
    assert resolve(EvalConfig, measures="nDCG@1,AP", depth=1).measures == ("nDCG@1", "AP")


QUESTIONS = [
    {},
    {"pool": "softmax:1,maxsim", "lengths": "64,8", "arms": "equalize", "evidence": 5, "fill": "zero", "seed": 7},
    {"dataset": "scifact", "split": "train", "limit": 3, "depth": 7, "measures": "AP,RR@7", "dtype": "bfloat16"},
    {"measures": ["P(rel=2,judged_only=True)@10"], "candidates": "bm25", "index": "IVF8,Flat"},
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_runs_config_file_asks_the_same_question(tmp_path, question):
    config = resolve(EvalConfig, **question)
    RunDirectory(tmp_path / "run").start("eval", config.plain(), maker="test")
    assert resolve(EvalConfig, **read_config(EvalConfig, tmp_path / "run" / "config.yaml")) == config
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(config.plain()))
    assert resolve(EvalConfig, **read_config(EvalConfig, tmp_path / "plain.yaml")) == config


WRONG_FILES = [
    ("poool: maxsim", "unknown option 'poool'; did you mean 'pool'"),
    ("7: maxsim", "unknown option '7'"),
    ("- maxsim", "keys and values"),
    ("", "keys and values"),
    ("pool: [", "while parsing"),
    ("seed: 2020-99-99", "config"),
    ("seed: 0x_", "config"),
    ("pool: \0", "character"),
    (b"pool: \xff", "decode"),
]


@pytest.mark.parametrize("content, wanted", WRONG_FILES)
def test_a_wrong_config_file_is_one_line_that_names_the_file(tmp_path, content, wanted):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(OptionError, match=wanted) as caught:
        read_config(EvalConfig, path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_config_file_is_named_and_several_unknown_keys_are_reported(tmp_path):
    with pytest.raises(OptionError, match=r"absent\.yaml"):
        read_config(EvalConfig, tmp_path / "absent.yaml")
    (tmp_path / "mine.yaml").write_text("poool: maxsim\nlenght: 32\n")
    with pytest.raises(OptionError, match=r"(?s)poool.*lenght"):
        read_config(EvalConfig, tmp_path / "mine.yaml")


ANY = st.text(max_size=12)
SPEC = st.builds("{}:{}".format, st.sampled_from(AGGREGATORS.names()), st.text("0123456789.-+e_:=kinftau ", max_size=6))
NUMBERS = st.text("0123456789,- ٣²_+.", max_size=10)


@given(ANY | SPEC)
def test_any_text_is_a_canonical_spec_or_refused(spec):
    try:
        made = AGGREGATORS.make(spec)
    except HarnessError:
        return
    assert AGGREGATORS.make(str(made)) == made and str(made).split(":")[0] == spec.strip().split(":")[0]


@settings(deadline=None, max_examples=50)
@given(lengths=ANY | NUMBERS, pool=st.just("maxsim") | ANY | SPEC, depth=st.just("100") | NUMBERS)
@example(lengths="--1", pool="maxsim", depth="1")
def test_any_text_is_a_sound_question_or_refused(lengths, pool, depth):
    try:
        config = resolve(EvalConfig, lengths=lengths, pool=pool, depth=depth, measures="AP")
    except HarnessError:
        return
    assert isinstance(config, EvalConfig) and config.depth >= 1 and config.pool
    assert all(length >= 1 for length in config.lengths)
    assert list(config.lengths) == sorted({int(part) for part in lengths.split(",")})
    assert resolve(EvalConfig, **config.plain()) == config


@settings(deadline=None, max_examples=50)
@given(st.builds("{}@{}".format, st.sampled_from(["nDCG", "R", "P", "RR", "AP", "Success", "ERR"]), ANY) | ANY)
def test_any_text_is_a_measure_or_refused(name):
    try:
        config = resolve(EvalConfig, measures=[name], depth=10**9)
    except HarnessError:
        return
    assert resolve(EvalConfig, measures=list(config.measures), depth=10**9) == config


def test_a_list_without_an_entry_and_a_number_beyond_all_floats_are_refused():
    for kind, options, wanted in (
        (SynthConfig, {"lengths": []}, "nothing given"),
        (TrainConfig, {"rate": 10**400}, "rate"),
    ):
        with pytest.raises(OptionError, match=wanted) as caught:
            resolve(kind, **options)
        assert len(caught.value.problems) == 1


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_field_of_a_config_is_an_option_of_the_command_line(name):
    kind = commands.file(name).CONFIG
    shown = {parameter.name: parameter for parameter in cli.command(name).params}
    shown.pop("config", None)
    assert set(shown) == {field.name for field in dataclasses.fields(kind)} == set(names(kind))
    for field in dataclasses.fields(kind):
        if not names(kind)[field.name].argument:
            assert usual(kind, field.name) in shown[field.name].help
            assert names(kind)[field.name].help.endswith("."), field.name


@pytest.mark.parametrize("function", harness.COMMANDS)
def test_every_field_of_a_config_is_a_keyword_with_the_same_default(function):
    kind = commands.file(NAMES.get(function, function)).CONFIG
    takes = inspect.signature(commands.function(function)).parameters
    assert set(takes) == set(names(kind)) | {"progress"}
    for field in dataclasses.fields(kind):
        if takes[field.name].kind is inspect.Parameter.KEYWORD_ONLY:
            assert takes[field.name].default == field.default


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_default_typed_on_the_command_line_is_the_default(name):
    kind = commands.file(name).CONFIG
    for field in dataclasses.fields(kind):
        if field.default in (None, False, ()):
            continue
        typed = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default)
        for value in (typed, field.default):
            assert names(kind)[field.name].read(field.name, value) == field.default, field.name


def test_an_editor_sees_what_help_shows():
    assert stub.PATH.read_text() == stub.stub(), "run `make readme`"
