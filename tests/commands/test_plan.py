"""A plan's arithmetic against counting by hand, its limits, and the command as a user meets it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.candidates.faiss_index import BLOCK
from harness.planning import measure as measuring
from harness.planning.estimate import GPU, Rates, Work, estimate, memory, storage
from tests.test_cli import run

__all__ = ["run"]

WORK = Work(
    documents=1_000_000,
    patches=70,
    queries=500,
    depth=100,
    dims=128,
    tokens=32,
    lengths=(32, 64),
    arms=("truncate",),
    pools=3,
    candidates="faiss",
    index="IVF1024,SQ8",
    reads="text",
)
RATES = Rates(
    cores=2,
    load_document=1e-5,
    encode_patch=1e-4,
    encoder_parameters=1e7,
    write_byte=1e-9,
    open_byte=0.0,
    read_byte=1e-9,
    assign_multiplication=1e-11,
    quantise_multiplication=1e-10,
    code_patch=1e-7,
    search_token=1e-4,
    scan_code=1e-8,
    score_pair={"truncate": 1e-5, "pad": 2e-5, "equalize": 2e-5},
    rank_pair=1e-6,
    compare_query=1e-3,
    memory_bytes=16e9,
    free_bytes=1e12,
    program_bytes=3e8,
    encoder_bytes=1e8,
    ranked_pair_memory=300.0,
    ranked_pair_disk=12.0,
)


def stage(work: Work, name: str, rates: Rates = RATES):
    return next(one for one in estimate(work, rates).stages if one.name == name)


def test_multiplications_are_those_of_a_loop_over_pairs():
    work = replace(WORK, documents=7, queries=3, depth=5, tokens=4, patches=40, dims=2, arms=("truncate", "pad"))
    for arm, patches in (("truncate", 40), ("pad", 64)):
        by_hand = sum(1 for _ in range(3) for _ in range(5) for _ in range(4) for _ in range(patches) for _ in range(2))
        assert stage(work, f"score {arm}").multiplications == by_hand
    assert stage(replace(work, candidates="exact"), "score pad").multiplications == 3 * 7 * 4 * 64 * 2


@given(documents=st.integers(100_000, 10**10), times=st.integers(2, 1000))
def test_what_grows_with_documents_grows_linearly_and_the_rest_not_at_all(documents, times):
    less, more = (replace(WORK, documents=count) for count in (documents, documents * times))
    for name in ("load", "encode", "index"):
        grown = stage(more, name).seconds / stage(less, name).seconds
        assert grown == pytest.approx(times, rel=0.02)
    for name in ("score truncate", "rank", "compare"):
        seconds = [stage(work, name, replace(RATES, memory_bytes=1e30)).seconds for work in (less, more)]
        assert seconds[0] == seconds[1]
    assert storage(more, RATES)["vectors"] == pytest.approx(times * storage(less, RATES)["vectors"], rel=0.01)
    for part in ("scoring", "ranking", "program and model"):
        assert memory(more, RATES)[part] == memory(less, RATES)[part]


@pytest.mark.parametrize("index", ["disk:IVF1024,SQ8", "disk:IVF1024,PQ64"])
def test_an_index_on_disk_takes_the_same_memory_whatever_the_corpus(index):
    sizes = [memory(replace(WORK, index=index, documents=count), RATES)["index"] for count in (10**7, 10**9)]
    assert sizes[0] == sizes[1] < 2 * BLOCK
    assert memory(replace(WORK, index=index.removeprefix("disk:"), documents=10**9), RATES)["index"] > 1e12


def test_the_kind_of_index_decides_its_bytes():
    per_patch = {
        index: storage(replace(WORK, index=index), RATES)["index"] / WORK.rows for index in ("flat", "ivf-sq", "ivf-pq")
    }
    assert per_patch == pytest.approx({"flat": 512, "ivf-sq": 136, "ivf-pq": 72}, rel=0.1)


def test_workers_share_what_can_be_shared():
    plan = estimate(WORK, RATES)
    for one in plan.stages:
        hours = plan.hours(one)
        assert hours["1 core"] == one.seconds / 3600
        assert hours["4 workers"] / hours["64 workers"] == pytest.approx(16 if one.shared == "workers" else 1)
    assert plan.total()["this machine"] == sum(plan.hours(one)["this machine"] for one in plan.stages)


def test_a_gpu_takes_what_its_figures_bound():
    plan = estimate(WORK, RATES, GPU(tflops=1.0, bandwidth=1.0))
    [score] = [one for one in plan.stages if one.name == "score truncate"]
    assert plan.gpu.seconds(score) == max(2 * score.multiplications / 1e12, score.bytes / 1e9)
    faster = replace(plan, gpu=GPU(1e6, 1e6))
    assert faster.total()["1 GPU"] < plan.total()["1 GPU"]


def test_what_breaks_holds_below_its_number_of_documents_and_not_above():
    plan = estimate(WORK, RATES)
    limits = plan.breaks
    assert set(limits) == {"memory", "disk", "a week"}
    needed = {"memory": lambda one: one.peak > 16e9, "disk": lambda one: sum(one.storage.values()) > 1e12}
    for name, needs in needed.items():
        fits, breaks = (estimate(replace(WORK, documents=int(limits[name] * times)), RATES) for times in (0.98, 1.01))
        assert needs(breaks) and not needs(fits)
    assert estimate(WORK, replace(RATES, memory_bytes=1e30, free_bytes=1e30)).breaks["memory"] == float("inf")


def test_nonsense_is_one_line_a_mistake_and_all_at_once(run, tmp_path):
    words = "plan --documents 0 --patches -3 --queries many --dims 1.5 --pool maxsin --candidates bm25"
    code, out, err = run(*words.split())
    assert (code, out) == (2, "") and len(err.splitlines()) == 6
    for part in ("documents 0 must be at least 1", "patches -3", "'many' is not a whole number", "'1.5'", "'maxsim'?"):
        assert part in err
    code, _, err = run("plan")
    assert code == 2 and err == "harness: documents: how many? give --documents 8.8e6, say\n"
    assert not list(tmp_path.iterdir())


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """A cache of its own, and little to measure."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measuring, "MULTIPLIED", 1e7)
    monkeypatch.setattr(measuring, "STORED", 1 << 20)
    monkeypatch.setattr(measuring, "INDEXED", 1 << 13)
    monkeypatch.setattr(measuring, "MANY", 64)


QUESTION = {
    "documents": "2e5",
    "patches": 16,
    "dims": 16,
    "queries": 20,
    "query_tokens": 8,
    "lengths": "8,16",
    "depth": 10,
    "checkpoint": "embeddings:FOLDER",
}


def test_rates_are_measured_once_and_every_stage_has_its_time(run, quick, monkeypatch, tmp_path):
    (tmp_path / "FOLDER").mkdir()
    for role in ("documents", "queries"):
        (tmp_path / "FOLDER" / f"{role}.safetensors").touch()
    plan = harness.plan(**QUESTION)
    assert [one.name for one in plan.stages] == [
        "load",
        "encode",
        "train",
        "index",
        "search",
        "score truncate",
        "score pad",
        "rank",
        "compare",
    ]
    assert (
        all(one.seconds > 0 for one in plan.stages)
        and plan.rates.program_bytes > 0
        and plan.rates.ranked_pair_memory > 50
    )
    monkeypatch.setattr(measuring, "measure", None)
    again = harness.plan(**QUESTION | {"documents": 400_000})
    assert replace(again.rates, free_bytes=0) == replace(plan.rates, free_bytes=0)
    options = [word for name, value in QUESTION.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    code, out, _ = run("plan", *options)
    assert code == 0 and max(map(len, out.splitlines())) <= 80
    for words in ("1 core", "64 Ray", "1 GPU", "Storage", "Memory", "Dominates", "Breaks first"):
        assert words in out
    code, out, _ = run("plan", *options, "--format", "json")
    assert code == 0 and json.loads(out)["work"]["documents"] == 200_000
    with pytest.raises(TypeError):
        harness.plan(**QUESTION, remeasure=True)
