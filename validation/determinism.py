"""The same question, asked of processes that work with other threads, batches, shards and tasks: equal bytes or not.

``python -m validation.determinism JSON eval …`` is one such process: ``harness eval …`` with the settings of the JSON.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]
THREADS: dict[str, Row] = {"2 threads": {"threads": 2}, "1 thread": {"threads": 1}}
TASKS: dict[str, Row] = {"tasks of 7 documents": {"task": 7}}
VECTORS: dict[str, Row] = {
    "batches of one text": {"batch": 1},
    "batches of 65,536 tokens": {"batch": 1 << 16},
    "shards of 5 items": {"shard": 5},
}
POOLS = "maxsim,topk:4,softmax:0.1"
COMMANDS = {
    "eval": ["eval", "--pool", POOLS, "--lengths", "32,64,128,256"],
    "stress": ["stress", "--pool", POOLS, "--counts", "0,25,100"],
}
QUERIES, OTHERS = 30, 100  # of the part of SciFact that is encoded again and again


@dataclass(frozen=True)
class Answer:
    """What a process left behind: a checksum of the content of each file, and of the documents' vectors."""

    files: dict[str, str]
    vectors: str
    notes: list[str]

    def differing(self, other: Answer) -> list[str]:
        names = self.files.keys() | other.files.keys()
        return sorted(name for name in names if self.files.get(name) != other.files.get(name))


def ask(settings: Row, command: Sequence[str], dataset: Path | str, cache: Path, output: Path) -> Answer:
    """The answer of a process of its own. cache: its own too, so that it makes its vectors and candidates itself."""
    line = [sys.executable, "-m", "validation.determinism", json.dumps(settings), *command]
    threads = str(settings.get("threads", 2))
    environment = {**os.environ, "HARNESS_CACHE": str(cache), "OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*line, "--dataset", str(dataset), "--output", str(output)],
        env=environment,
        text=True,
        capture_output=True,
        cwd=Path(__file__).parents[1],
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)} failed:\n{done.stderr}")
    [run] = output.glob(f"{command[0]}-*")
    return Answer(contents(run), vectors(run, cache), json.loads((run / "manifest.json").read_text())["notes"])


def contents(run: Path) -> dict[str, str]:
    """Checksums of what a run measured, by file: of CSV and parquet the bytes, of rankings what is in them."""
    found = [*run.glob("*.csv"), run / "per_query.parquet", *run.rglob("*.trec.gz")]
    read = {path: gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in found}
    return {str(path.relative_to(run)): hashlib.sha256(content).hexdigest() for path, content in read.items()}


def vectors(run: Path, cache: Path) -> str:
    """A checksum of the documents' vectors, however they are cut into shards."""
    from harness.vectors import shards, store

    name = json.loads((run / "manifest.json").read_text())["fingerprints"]["documents"]
    made, held = hashlib.sha256(), store.read(cache / "vectors" / name)
    for _, block in shards.stream(held):
        made.update(block.tobytes())
    return made.hexdigest()


def child(settings: Row, command: list[str]) -> None:
    """``harness`` with these settings, in this process."""
    if settings.get("threads") and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings["threads"]])
    from harness import cli
    from harness.encoders import encoding
    from harness.scoring import tasks
    from harness.vectors import store

    encoding.TOKENS = settings.get("batch", encoding.TOKENS)
    store.SHARD = settings.get("shard", store.SHARD)
    tasks.DOCUMENTS = settings.get("task", tasks.DOCUMENTS)
    sys.argv = ["harness", *command]
    cli.main()


def compared(
    corpus: str,
    dataset: Path | str,
    settings: dict[str, Row],
    commands: dict[str, list[str]],
    work: Path,
    cached: Path | None = None,
) -> list[Row]:
    """A row a command and setting: whether its files are those of the first setting.

    cached: where finished vectors are; they are linked, and candidates and indexes made anew. Else all is made anew.
    """
    rows, first = [], {}
    for at, (name, how) in enumerate(settings.items()):
        cache = work / f"cache-{corpus}-{at}"
        cache.mkdir(parents=True)
        if cached:
            (cache / "vectors").symlink_to(cached / "vectors")
        for command, words in commands.items():
            answer = ask(how, words, dataset, cache, work / f"runs-{corpus}-{at}")
            base = first.setdefault(command, answer)
            other = base.differing(answer)
            rows.append(
                {
                    "corpus": corpus,
                    "command": command,
                    "with": name,
                    "files": len(answer.files),
                    "summary.csv": answer.files["summary.csv"][:16],
                    "vectors": "from the cache" if cached else "same" if answer.vectors == base.vectors else "differ",
                    "all files": "same bytes" if not other else f"{len(other)} differ: {', '.join(other[:3])}",
                }
            )
            print(*rows[-1].values(), sep="  ", file=sys.stderr, flush=True)
    return rows


def part_of_scifact(folder: Path) -> Path:
    """The first judged claims of SciFact, the abstracts judged for them and some others, as a BEIR folder."""
    from harness import corpora

    whole = corpora.load("scifact", limit=QUERIES)
    gold = {qrel.doc_id for qrel in whole.qrels}
    others = [one for one in whole.documents if one.id not in gold][:OTHERS]
    documents = [one for one in whole.documents if one.id in gold] + others
    (folder / "qrels").mkdir(parents=True)
    for name, items in (("corpus", documents), ("queries", whole.queries)):
        lines = (json.dumps({"_id": one.id, "text": one.text}) for one in items)
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    judged = [f"{one.query_id}\t{one.doc_id}\t{one.relevance}" for one in whole.qrels]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(judged) + "\n")
    return folder


def dtypes() -> Iterator[Row]:
    """The whole of SciFact, encoded in float32 and in bfloat16: each cell's nDCG@10, and what the manifest says."""
    import harness

    made = {}
    for dtype in ("float32", "bfloat16"):
        question = {"dataset": "scifact", "pool": POOLS, "lengths": "32,64,128,256", "dtype": dtype}
        run = harness.evaluate(**question, output="runs/validation", resume=True)
        said = next(note for note in run.manifest.notes if "computed in" in note)
        made[dtype] = run.summary[run.summary["measure"] == "nDCG@10"].assign(said=said)
    both = made["float32"].merge(made["bfloat16"], on=["arm", "pool", "length"], suffixes=("", "_short"))
    for cell in both.itertuples():
        yield {
            "arm": cell.arm,
            "pool": cell.pool,
            "length": cell.length,
            "float32": cell.value,
            "bfloat16": cell.value_short,
            "difference": cell.value_short - cell.value,
            "manifests": f"{cell.said} / {cell.said_short}",
        }


TEXT = """
Every row is a process of its own, which works with the settings of its row and makes its candidates, index and, where
the column does not say otherwise, vectors itself, in a cache of its own. Compared with the first row of the same
command: `summary.csv`, `tests.csv` and `per_query.parquet` byte for byte, and what is in every ranking. The part of
SciFact is its first {queries} claims with the abstracts judged for them and {others} others.

Two things make it so. The texts of a batch are equally long, and every batch is one thread's work: a vector depends on
its text alone. And MKL is asked for products whose rounding depends on neither threads nor the other rows
(`MKL_CBWR=AUTO,STRICT`, which one can override). Before, a change of the batch's size changed the last bit of 0.5 % of
the numbers in float16. This holds for the families `transformer` and `pylate` on a CPU whose torch has MKL; on a GPU,
where texts of several lengths share a batch, it is not claimed, nor between machines.

float32 and bfloat16 do differ: the last table says by how much, and in which words a run's manifest says which it was.
"""


def main(folder: Path) -> Path:
    import pandas as pd

    from harness.files import cache_folder
    from validation import pages

    last = list(dtypes())  # first, for it leaves the vectors of all documents in the cache
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        part = part_of_scifact(work / "part")
        rows = compared("part of SciFact", part, THREADS | TASKS | VECTORS, COMMANDS, work)
        rows += compared("SciFact", "scifact", THREADS, {"eval": COMMANDS["eval"]}, work, cache_folder())
    tables = {"same-question": rows, "float32-and-bfloat16": last}
    return pages.write(
        folder,
        "determinism",
        "Does the same question give the same bytes?",
        TEXT.format(queries=QUERIES, others=OTHERS),
        {name: pd.DataFrame(one) for name, one in tables.items()},
    )


if __name__ == "__main__":
    child(json.loads(sys.argv[1]), sys.argv[2:])
