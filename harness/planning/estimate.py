"""What a run will cost: storage, memory, multiplications and hours, from its size and from rates. Arithmetic alone.

Growth in documents n, patches p, dimensions d, queries Q, tokens t, depth C: vectors take 2npd bytes; training an index
of √(np) lists SAMPLE·np·d·ITERATIONS multiplications, filling it (np)^1.5·d, a search Qt·np/128 codes; reranking
Qt·C·L·d multiplications an arm, whatever n.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.candidates import faiss_index

ITERATIONS = 10  # of k-means, as FAISS trains inverted lists
CODES, CODE_ITERATIONS, CODE_SAMPLE = 256, 25, 65_536  # of a product quantiser
LETTERS = 5  # of a text, a patch
ITEM = 230  # bytes of memory a document has besides its text: records, its id twice, its place
ROW = 160  # bytes of memory more where vectors are read by id
PAIR = 64  # bytes of memory a query and a candidate take in the scoring pass besides their scores
GROWN = 1.4  # times its size that a list takes while it is filled
WORKERS = (4, 16, 64)
WEEK = 7 * 24.0  # hours


@dataclass(frozen=True)
class Work:
    """What is to be done, in numbers. index: as asked; spec: what that means here; reads: text, or ids of vectors."""

    documents: int
    patches: int
    queries: int
    depth: int
    dims: int
    tokens: int
    lengths: tuple[int, ...]
    arms: tuple[str, ...]
    pools: int
    candidates: str
    index: str
    reads: str

    @property
    def rows(self) -> int:
        """Patches of the corpus."""
        return self.documents * self.patches

    @property
    def pairs(self) -> int:
        """Of a query and a document that is scored for it."""
        return self.queries * (self.documents if self.candidates == "exact" else min(self.depth, self.documents))

    @property
    def ranked(self) -> int:
        """Of a query and a document in a ranking."""
        return self.queries * min(self.depth, self.documents)

    @property
    def cells(self) -> int:
        return len(self.arms) * self.pools * len(self.lengths)

    @property
    def spec(self) -> str:
        return faiss_index.resolve(self.index, self.rows, self.dims) if self.candidates == "faiss" else ""

    @property
    def lists(self) -> int:
        found = re.search(r"IVF(\d+)", self.spec)
        return int(found.group(1)) if found else 0

    @property
    def code(self) -> int:
        """Bytes of a patch in the index, its id among them."""
        found = re.search(r"PQ(\d+)", self.spec)
        wide = 1 if "SQ8" in self.spec else 4
        return (int(found.group(1)) if found else wide * self.dims) + 8 * bool(self.lists)

    @property
    def sharing(self) -> float:
        """Queries that want a document, of the documents that one wants at all, were candidates drawn at random."""
        share = self.pairs / self.documents
        return share / -math.expm1(-share)

    def length(self, arm: str) -> int:
        """Patches of a document multiplied in an arm."""
        return min(self.patches, self.lengths[-1]) if arm == "truncate" else self.lengths[-1]


@dataclass(frozen=True)
class Rates:
    """What a core of one machine does, measured: seconds of a core's work for one of what a field names.

    encode_patch: with an encoder of ``encoder_parameters``.
    write_byte, open_byte, read_byte: of vectors; reading is from disk, and waiting.
    assign_multiplication: of finding a patch's list, in k-means too.
    quantise_multiplication: of training product codes.
    code_patch: adding a patch to the index.
    search_token: a query token's search besides its scans of codes.
    score_pair: by arm.
    rank_pair: a pair of a cell.
    memory_bytes, free_bytes: RAM and free disk of this machine.
    program_bytes, encoder_bytes: memory that each takes.
    ranked_pair_memory, ranked_pair_disk: bytes.
    """

    cores: int
    load_document: float
    encode_patch: float
    encoder_parameters: float
    write_byte: float
    open_byte: float
    read_byte: float
    assign_multiplication: float
    quantise_multiplication: float
    code_patch: float
    search_token: float
    scan_code: float
    score_pair: Mapping[str, float]
    rank_pair: float
    compare_query: float
    memory_bytes: float
    free_bytes: float
    program_bytes: float
    encoder_bytes: float
    ranked_pair_memory: float
    ranked_pair_disk: float


@dataclass(frozen=True)
class Stage:
    """seconds: of one core; bytes: that must be moved; shared: by nobody, the cores of one machine, or workers too.

    accelerated: whether a GPU does it.
    """

    name: str
    seconds: float
    multiplications: float = 0.0
    bytes: float = 0.0
    shared: str = "workers"
    accelerated: bool = False


@dataclass(frozen=True)
class GPU:
    """A GPU by its published figures: float32 operations a second, bytes a second of its memory. Nothing measured."""

    tflops: float = 67.0
    bandwidth: float = 3350.0

    def seconds(self, stage: Stage) -> float:
        return max(2 * stage.multiplications / (self.tflops * 1e12), stage.bytes / (self.bandwidth * 1e9))


@dataclass(frozen=True)
class Plan:
    work: Work
    rates: Rates
    gpu: GPU
    storage: dict[str, float]
    memory: dict[str, float]
    stages: list[Stage]

    @property
    def peak(self) -> float:
        """Bytes of memory at the worst moment: what always lies there, and the most that one stage takes besides."""
        always = ("program and model", "texts and ids")
        return sum(self.memory[name] for name in always) + max(
            size for name, size in self.memory.items() if name not in always
        )

    def hours(self, stage: Stage) -> dict[str, float]:
        """Hours of a stage by where it runs. A worker is a core like those here; moving data to it is not counted."""
        core = stage.seconds / 3600
        here = core / (1 if stage.shared == "nobody" else self.rates.cores)
        spread = {f"{count} workers": core / count if stage.shared == "workers" else here for count in WORKERS}
        return {
            "1 core": core,
            "this machine": here,
            "1 GPU": self.gpu.seconds(stage) / 3600 if stage.accelerated else here,
            **spread,
        }

    def total(self) -> dict[str, float]:
        columns = [self.hours(stage) for stage in self.stages]
        return {name: sum(column[name] for column in columns) for name in columns[0]}

    def record(self) -> dict[str, Any]:
        """As plain values."""
        stages = [asdict(stage) | {"hours": self.hours(stage)} for stage in self.stages]
        return {
            "work": asdict(self.work) | {"index": self.work.spec},
            "rates": asdict(self.rates),
            "gpu": asdict(self.gpu),
            "storage": self.storage,
            "memory": self.memory | {"peak": self.peak},
            "stages": stages,
            "hours": self.total(),
            "dominates": self.dominates,
            "breaks": self.breaks,
        }

    @property
    def dominates(self) -> str:
        return max(self.stages, key=lambda stage: self.hours(stage)["1 core"]).name

    @property
    def breaks(self) -> dict[str, float]:
        """Documents, all else as it is, beyond which this machine has too little memory or disk, or takes a week."""
        limits: dict[str, Callable[[Plan], bool]] = {
            "memory": lambda plan: plan.peak > plan.rates.memory_bytes,
            "disk": lambda plan: sum(plan.storage.values()) > plan.rates.free_bytes,
            "a week": lambda plan: plan.total()["this machine"] > WEEK,
        }
        return {name: _first(self, broken) for name, broken in limits.items()}


def estimate(work: Work, rates: Rates, gpu: GPU | None = None) -> Plan:
    """The plan of a work. Linear in documents but for the index, whose lists grow with the root of the patches."""
    stages = [stage for stage in _stages(work, rates) if stage.seconds]
    return Plan(work, rates, gpu or GPU(), storage(work, rates), memory(work, rates), stages)


def storage(work: Work, rates: Rates) -> dict[str, float]:
    """Bytes on disk, by part."""
    held = work.rows * work.code if work.spec else 0
    return {
        "vectors": (work.rows + work.queries * work.tokens) * work.dims * 2.0 + 4 * work.documents,
        "index": float(held + 4 * work.lists * work.dims),
        "index, while it is merged": float(held * work.spec.startswith(faiss_index.DISK)),
        "candidates": 8.0 * work.queries * (work.depth + 1) * (work.candidates != "exact"),
        "rankings": work.ranked * work.cells * rates.ranked_pair_disk,
    }


def memory(work: Work, rates: Rates) -> dict[str, float]:
    """Bytes of memory, by part; those of an index, of scoring and of ranking lie there one after the other."""
    by_id = ROW * (work.reads == "ids")
    held = work.rows * work.code if work.spec else 0
    if work.spec.startswith(faiss_index.DISK):
        held = min(held, faiss_index.BLOCK)
    sample = 6 * min(faiss_index.SAMPLE * work.lists, work.rows) * work.dims + 8 * work.lists * work.dims
    scores = work.pairs * 4 * work.pools * len(work.lengths)
    return {
        "program and model": rates.program_bytes + rates.encoder_bytes,
        "texts and ids": float(work.documents * (ITEM + by_id + LETTERS * work.patches * (work.reads != "ids"))),
        "index": float(held * (GROWN if work.lists else 1) + sample),
        "scoring": float(work.pairs * PAIR + scores),
        "ranking": float(work.ranked * rates.ranked_pair_memory + scores + 8 * work.pairs),
    }


def _stages(work: Work, rates: Rates) -> list[Stage]:
    vectors = work.rows * work.dims * 2.0
    new = work.rows + work.queries * work.tokens
    scored = {arm: work.pairs * work.tokens * work.length(arm) * work.dims for arm in work.arms}
    touched = min(work.pairs / work.sharing, work.documents) * work.patches * work.dims * 2.0
    late = (
        vectors * rates.read_byte * (vectors > rates.memory_bytes)
    )  # what memory cannot hold is read from disk each time
    cells = work.cells + (work.candidates != "exact")
    return [
        Stage("load", work.documents * rates.load_document + vectors * rates.open_byte, shared="nobody"),
        Stage(
            "encode",
            new * (rates.encode_patch + 2 * work.dims * rates.write_byte),
            new * rates.encoder_parameters,
            vectors,
            accelerated=rates.encoder_parameters > 0,
        ),
        *(_index_stages(work, rates) if work.spec else []),
        *(
            Stage(
                f"score {arm}",
                work.pairs * rates.score_pair[arm] + late * touched / vectors,
                scored[arm],
                touched,
                accelerated=True,
            )
            for arm in work.arms
        ),
        Stage("rank", work.ranked * cells * rates.rank_pair, shared="nobody"),
        Stage("compare", work.queries * rates.compare_query, shared="nobody"),
    ]


def _index_stages(work: Work, rates: Rates) -> list[Stage]:
    sample = min(faiss_index.SAMPLE * work.lists, work.rows)
    asked, probes = work.queries * work.tokens, faiss_index.probes_of(work.lists)
    scanned = asked * work.rows * (min(1.0, probes / work.lists) if work.lists else 1.0)
    product = CODES * work.dims if "PQ" in work.spec else 0
    means = work.dims * ITERATIONS * sample * work.lists
    codes = CODE_ITERATIONS * min(sample, CODE_SAMPLE) * product
    fill, coarse = work.rows * work.lists * work.dims, asked * work.lists * work.dims
    held, on_gpu = work.rows * work.code, not work.spec.startswith(faiss_index.DISK)
    late = scanned * work.code * rates.read_byte * (held > rates.memory_bytes and not on_gpu)  # lists come from disk
    seconds = asked * rates.search_token + coarse * rates.assign_multiplication + max(scanned * rates.scan_code, late)
    return [
        Stage(
            "train",
            means * rates.assign_multiplication + codes * rates.quantise_multiplication,
            means + codes,
            sample * work.dims * 4.0,
            shared="machine",
            accelerated=on_gpu,
        ),
        Stage(
            "index",
            fill * rates.assign_multiplication + work.rows * rates.code_patch,
            fill,
            work.rows * (2.0 * work.dims + work.code),
            accelerated=on_gpu,
        ),
        Stage("search", seconds, coarse + scanned * work.dims, scanned * work.code, accelerated=on_gpu),
    ]


def _first(plan: Plan, broken: Callable[[Plan], bool]) -> float:
    """The fewest documents of a plan that are too many, within a hundredth; infinite where a trillion is not."""
    low, high = 1.0, 1e12
    if not broken(_sized(plan, high)):
        return math.inf
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if broken(_sized(plan, middle)) else (middle, high)
    return high


def _sized(plan: Plan, documents: float) -> Plan:
    return estimate(replace(plan.work, documents=max(1, int(documents))), plan.rates, plan.gpu)
