"""The run directory: written piece by piece, each atomically; finished when it has a manifest; readable by anyone."""

from __future__ import annotations

import errno
import gzip
import io
import json
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import yaml

from harness import schemas, trec
from harness.errors import DataError, HarnessError, first_line
from harness.files import digest, write_atomically
from harness.records import SLOPE, Manifest, Result, ScoredDoc

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("rankings", "encoders", "state")  # what an unfinished run can go on from
NAMES = ["dataset", "checkpoint", "arm", "inject", "pool", "measure", "baseline", "split", "statistic"]
WHOLE = ["length", "epoch", "count"]  # numbers that may be missing
REAL = ["value", "ci_low", "ci_high", "delta", "retained", "retained_low", "retained_high", "loss", "hijack_rate"]
REAL += ["mean_difference", "t", "p", "p_holm", "effect_size", "seed_sd", "gini_standard"]
REAL += [
    f"{name}{end}" for name in ("gini", "top_share", "effective_patches", "zero_share") for end in ("", "_low", "_high")
]


DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # no fault of what is read


@contextmanager
def readable(*paths: Path) -> Iterator[None]:
    """Whatever files that are damaged, or that someone changed, raise as they are read and checked: as one line.

    Only reading belongs inside: what is made of the contents may fail by a fault of the program, which is no damage.
    """
    try:
        yield
    except (HarnessError, MemoryError):
        raise
    except Exception as error:  # what pandas, pyarrow, gzip and json raise shares no base class
        if isinstance(error, OSError) and error.errno in DISK:
            raise
        what = f"{' or '.join(map(str, paths))} cannot be read ({type(error).__name__}: {first_line(error)})"
        raise DataError(f"{what}; it is damaged, was changed, or is of another version: repeat the run") from error


def slug(name: str) -> str:
    """A name as part of a folder's name: of a path its last part, ``embeddings:`` or not; of a hub id both parts."""
    kind, mark, place = name.rpartition(":")
    last = kind + mark + Path(place).name if Path(place).is_dir() else name.replace("/", "--")
    plain = re.sub(r"[^\w.+-]+", "-", last).strip("-.") or "unnamed"
    return plain if len(plain) <= 80 else f"{plain[:70]}-{digest(name)[:8]}"


class RunDirectory:
    """One run on disk; docs/reading-results.md lists its files."""

    def __init__(self, path: Path):
        self.path = path

    @property
    def finished(self) -> bool:
        return (self.path / "manifest.json").exists()

    def start(self, command: str, config: dict[str, Any], maker: str) -> None:
        """Begin, or go on with, a run. maker: the versions at work; what others left is thrown away."""
        for unfinished in self.path.rglob(".*.part"):
            unfinished.unlink(missing_ok=True)  # of a process that was killed
        mark = self.path / ".started"
        if self.finished or not mark.exists() or mark.read_text(encoding="utf-8") != maker:
            for part in PARTS:
                self.discard(part)
        (self.path / "manifest.json").unlink(missing_ok=True)
        write_atomically(mark, maker.encode())
        text = yaml.safe_dump({"command": command, **config}, sort_keys=False, allow_unicode=True)
        write_atomically(self.path / "config.yaml", text.encode())

    def discard(self, part: str) -> None:
        """Remove what only an unfinished run needs."""
        shutil.rmtree(self.path / part, ignore_errors=True)

    def part(self, *names: str) -> Path:
        """Where an unfinished run keeps a part of its work."""
        return self.path.joinpath("state", *names)

    def ranking(self, arm: str, pool: str, length: int | None) -> Path:
        """Where a cell's TREC run is; a first stage has no length."""
        return self.path / "rankings" / arm / pool / ("full.trec.gz" if length is None else f"L{length}.trec.gz")

    def write_ranking(self, path: Path, run: Iterable[ScoredDoc]) -> None:
        """A TREC run, gzipped without a time so that equal runs are equal bytes."""
        write_atomically(path, gzip.compress(trec.write(run).encode(), compresslevel=1, mtime=0))

    def read_ranking(self, path: Path) -> Iterator[ScoredDoc]:
        """Raises DataError if the file is not there or no TREC run."""
        with readable(path), gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            yield from trec.read(file)

    def has_ranking(self, path: Path) -> bool:
        """Whether a ranking is there and whole: gzip has a checksum of its own."""
        try:
            with gzip.open(path) as file:
                while file.read(1 << 20):
                    pass
            return True
        except (OSError, EOFError, zlib.error):
            return False

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """A table as CSV, or as parquet if the name says so."""
        content = io.BytesIO()
        if name.endswith(".parquet"):
            table.to_parquet(content, index=False)
        else:
            table.to_csv(content, index=False, lineterminator="\n")
        write_atomically(self.path / name, content.getvalue())

    def read_table(self, name: str, manifest: Manifest | None = None) -> pd.DataFrame:
        """A table. Raises DataError if it cannot be read, or holds anything else than the manifest, if given, says."""
        import pandas as pd  # here: what only names runs need not wait for it

        path = self.path / name
        if not path.exists():
            raise DataError(f"{path} is missing; {self.path} is no finished run")
        with readable(path):
            table = pd.read_parquet(path) if name.endswith(".parquet") else self._csv(path)
            if manifest is not None:
                table = schemas.current(manifest, name, table)
                schemas.check(manifest, name, table)
        return table

    def _csv(self, path: Path) -> pd.DataFrame:
        import pandas as pd

        empty = {column: [""] for column in (*WHOLE, *REAL)}  # names such as NA stay names
        kinds = dict.fromkeys([*NAMES, "length"], "str") | dict.fromkeys(REAL, "float64")
        table = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=empty)
        whole = [one for one in WHOLE if one in table and not (table[one] == SLOPE).any()]  # see schemas.current
        return table.astype({column: "Int64" for column in whole if table[column].dtype != "int64"})

    def finish(self, summary: pd.DataFrame, per_query: pd.DataFrame, tests: pd.DataFrame, manifest: Manifest) -> Result:
        """Write the tables, then the manifest."""
        self.write_table("per_query.parquet", per_query)
        self.write_table("summary.csv", summary)
        self.write_table("tests.csv", tests)
        self.write_manifest(manifest)
        return Result(self.path, summary, per_query, tests, manifest)

    def result(self) -> Result:
        """A finished run, from disk."""
        manifest = self.read_manifest()
        names = ("summary.csv", "per_query.parquet", "tests.csv")
        summary, per_query, tests = (self.read_table(name, manifest) for name in names)
        return Result(self.path, summary, per_query, tests, manifest)

    def write_manifest(self, manifest: Manifest) -> None:
        """Written last: from here on the run is finished."""
        text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False)
        write_atomically(self.path / "manifest.json", text.encode())
        (self.path / ".started").unlink(missing_ok=True)
        self.discard("state")

    def read_manifest(self) -> Manifest:
        """Raises DataError if it holds anything else than a manifest."""
        path = self.path / "manifest.json"
        with readable(path):
            found = Manifest(**json.loads(path.read_text(encoding="utf-8")))
            if wrong := [name for name, hint in get_type_hints(Manifest).items() if not _is(vars(found)[name], hint)]:
                raise ValueError(f"{', '.join(wrong)} of another kind")
            json.dumps(asdict(found), ensure_ascii=False).encode()  # text that no file could hold is none
            schemas.check_manifest(found)
        return found


def _is(value: Any, hint: Any) -> bool:
    """Whether plain data is what a type hint says, one level deep."""
    if get_origin(hint) not in (dict, list):
        return isinstance(value, hint) if hint is not Any else True
    inner = float | int if get_args(hint)[-1] is float else get_args(hint)[-1]
    parts = value.values() if isinstance(value, dict) else value
    return isinstance(value, get_origin(hint)) and all(_is(one, inner) for one in parts)


def runs(output: Path) -> list[RunDirectory]:
    """Every run under a folder, finished or not, in order of name."""
    return [RunDirectory(path.parent) for path in sorted(output.glob("*/config.yaml"))]
