"""``harness compare``: checkpoints, or finished runs, against a baseline, query by query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.commands.eval import evaluate
from harness.commands.provenance import alone, maker, program
from harness.config import EvalConfig, resolve
from harness.errors import DataError, OptionError, Problems, examples, unknown
from harness.files import check_output, checksum, digest
from harness.records import Manifest
from harness.runs import Result, RunDirectory, slug
from harness.statistics import comparison


@dataclass(frozen=True)
class Comparison:
    """What ``harness compare`` wrote: every cell of every run, the tests against the baseline, values by query."""

    path: Path
    summary: pd.DataFrame
    tests: pd.DataFrame
    queries: pd.DataFrame
    manifest: Manifest


def compare(
    *runs: str | Path,
    checkpoint: str | Sequence[str] | None = None,
    baseline: str | None = None,
    average_seeds: bool = False,
    output: str | Path = "runs",
    force: bool = False,
    progress: bool = False,
    device: str = "auto",
    engine: str = "local",
    address: str | None = None,
    trust_remote_code: bool = False,
    strict: bool = False,
    **question: Any,
) -> Comparison:
    """Compare finished runs, or checkpoints whose cells are computed first, against a baseline (default: the first).

    runs: run directories of one command, eval or stress; average_seeds: runs named …-seed0, …-seed1 count as one, the
    mean over seeds by query; force: answer anew what is finished; question: with checkpoints, the options of
    ``harness eval``. Raises HarnessError, with every way in which the runs answer different questions.
    """
    check_output(Path(output))
    names = [name.strip() for name in (checkpoint.split(",") if isinstance(checkpoint, str) else checkpoint or [])]
    _check_given(runs, names, question)
    problems = Problems()
    if names and baseline is not None and not average_seeds and baseline not in [*names, *map(slug, names)]:
        problems.add(unknown("baseline", baseline, names))
    for name in names:  # all of them before the first is computed
        with problems:
            resolve(EvalConfig, **question, checkpoint=name)
    problems.stop(OptionError)
    how: dict[str, Any] = {"output": output, "device": device, "engine": engine, "address": address, "resume": True,
                           "force": force, "progress": progress, "trust_remote_code": trust_remote_code,
                           "strict": strict}  # fmt: skip
    found = [evaluate(**{**question, "checkpoint": name}, **how) for name in names] if names else read(runs)
    return against(found, baseline, average_seeds, Path(output), force)


def against(
    found: Sequence[Result], baseline: str | None, average_seeds: bool, output: Path, force: bool = False
) -> Comparison:
    """Compare runs that are there, and write it down."""
    labelled = label(found)
    notes, given = comparison.check(labelled), labelled
    if average_seeds:
        labelled = comparison.averaged(labelled)
        notes.append("seeds are averaged by query")
    base = _baseline(baseline, labelled)
    labelled = {base: labelled[base], **labelled}  # the baseline first
    return write(labelled, given, base, notes, output, force)


def _check_given(runs: Sequence[str | Path], names: list[str], question: dict[str, Any]) -> None:
    if bool(runs) == bool(names):
        raise OptionError("give either finished runs, or --checkpoint with two or more names; not both, not neither")
    if len(names or runs) < 2:
        raise OptionError("a comparison needs two runs or checkpoints at least")
    if twice := [
        name for name in dict.fromkeys(map(str, names or runs)) if list(map(str, names or runs)).count(name) > 1
    ]:
        raise OptionError(f"{twice[0]} is given twice")
    if runs and question:
        raise OptionError(f"finished runs are compared as they are; {', '.join(question)} belong to --checkpoint")


def read(runs: Sequence[str | Path]) -> list[Result]:
    """Finished runs from disk. Raises OptionError naming all that are not."""
    problems = Problems()
    found: list[Result] = []
    for path in map(Path, runs):
        run = RunDirectory(path)
        if not run.finished:
            problems.add(f"{path} is no finished run: it has no manifest.json; harness list runs shows them")
            continue
        with problems:
            if (command := run.read_manifest().command) not in comparison.PLACES:
                raise DataError(f"{path} is a run of harness {command}; compare eval or stress runs")
            found.append(run.result())
    problems.stop(OptionError)
    return found


def label(runs: Sequence[Result]) -> dict[str, Result]:
    """Runs by their checkpoint's name; where that is not enough with its parent folder, or with the run's own hash."""
    checkpoints = [str(run.manifest.config["checkpoint"]) for run in runs]
    hashes = [run.path.name.rsplit("-", 1)[-1] for run in runs]
    names = list(map(slug, checkpoints))
    longer = ["/".join(Path(one).parts[-2:]) for one in checkpoints]
    names = [longer[at] if names.count(name) > 1 else name for at, name in enumerate(names)]
    names = [f"{name}-{hashes[at]}" if names.count(name) > 1 else name for at, name in enumerate(names)]
    if len(set(names)) < len(names):
        raise OptionError("a run is given twice")
    return dict(zip(names, runs, strict=True))


def _baseline(asked: str | None, labelled: dict[str, Result]) -> str:
    if asked is None:
        return next(iter(labelled))
    found = [name for name, run in labelled.items()
             if asked in (name, str(run.manifest.config["checkpoint"]), slug(str(run.manifest.config["checkpoint"])),
                          run.path.name, str(run.path))]  # fmt: skip
    if len(found) > 1:
        raise OptionError(f"baseline {asked!r} may be {examples(found)}; give one of these")
    if not found:
        raise OptionError(unknown("baseline", asked, labelled))
    return found[0]


def write(
    runs: dict[str, Result], given: dict[str, Result], baseline: str, notes: list[str], output: Path, force: bool
) -> Comparison:
    """The comparison's own run directory, named by what the runs hold. given: the runs before seeds were averaged."""
    base, averaged = runs[baseline].manifest, {"average_seeds": True} if len(runs) < len(given) else {}
    config = {
        **averaged,
        "runs": {name: str(run.path) for name, run in given.items()},
        "baseline": baseline,
        "of": base.command,
    }
    held = [checksum(run.path / name) for run in given.values() for name in ("summary.csv", "per_query.parquet")]
    key = digest(config, [[run.manifest.fingerprints, run.manifest.config] for run in given.values()], held)
    run = RunDirectory(output / f"compare-{slug(base.config['dataset'])}-{slug(baseline)}-{key[:8]}")
    with alone(run, force=force) as mine:
        if not mine:
            summary, tests, queries = map(run.read_table, ("summary.csv", "tests.csv", "queries.parquet"))
            return Comparison(run.path, summary, tests, queries, run.read_manifest())
        run.start("compare", config, maker())
        return _answer(run, runs, baseline, notes, {**base.config, **config})


def _answer(
    run: RunDirectory, runs: dict[str, Result], baseline: str, notes: list[str], about: dict[str, Any]
) -> Comparison:
    """Compare, and write the tables and the manifest."""
    base = runs[baseline].manifest
    values = comparison.stack(runs)
    tests = comparison.compare(values, base.command, baseline, comparison.reached(runs))
    queries = comparison.by_query(values, base.command, baseline)
    summary = pd.concat([one.summary.assign(run=name) for name, one in runs.items()], ignore_index=True)
    for name, table in (("summary.csv", summary), ("tests.csv", tests), ("queries.parquet", queries)):
        run.write_table(name, table)
    manifest = Manifest("compare", about, base.seeds, fingerprints=base.fingerprints, notes=notes, **program())
    run.write_manifest(manifest)
    return Comparison(run.path, summary, tests, queries, manifest)
