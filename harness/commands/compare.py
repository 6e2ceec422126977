"""``harness compare``: checkpoints, or finished runs, against a baseline, query by query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from harness import readers
from harness.commands.context import RunContext
from harness.commands.eval import EvalConfig, Sweep
from harness.commands.eval import run as evaluate
from harness.commands.printed import show as show
from harness.commands.provenance import claim, maker, program
from harness.commands.questions import Forced
from harness.errors import DataError, OptionError, Problems, examples, unknown
from harness.files import checksum, digest
from harness.options import option, options
from harness.progress import Stages
from harness.records import Manifest, Result
from harness.runs import RunDirectory, slug
from harness.statistics import comparison


@dataclass(frozen=True)
class Comparison:
    """What ``harness compare`` wrote: every cell of every run, the tests against the baseline, values by query."""

    path: Path
    summary: pd.DataFrame
    tests: pd.DataFrame
    queries: pd.DataFrame
    manifest: Manifest


@dataclass(frozen=True)
class CompareConfig(Sweep, Forced):
    """``harness compare``: finished runs, or checkpoints and the question of ``harness eval`` that each is asked."""

    command = "compare"

    runs: tuple[str, ...] = option((), readers.each(readers.text), "Finished runs of one command.", argument=True)
    checkpoint: tuple[str, ...] = option(  # type: ignore[assignment]  # several, where eval takes one
        (), readers.each(readers.checkpoint), "Two or more checkpoints, e.g. a,b; their cells are computed first."
    )
    baseline: str | None = option(
        None, readers.text, "The run or checkpoint that the others are compared with.", "the first"
    )
    average_seeds: bool = option(False, readers.flag, "Count runs named …-seed0, …-seed1 as one.")

    @classmethod
    def complete(cls, values: dict[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
        runs, names = values.get("runs", ()), values.get("checkpoint", ())
        yield from super().complete(values, {**given, "checkpoint": names})
        if bool(given.get("runs")) == bool(given.get("checkpoint")):
            yield "give either finished runs, or --checkpoint with two or more names; not both, not neither"
        elif len(names or runs) < 2 and "runs" in values and "checkpoint" in values:
            yield "a comparison needs two runs or checkpoints at least"
        asked = [name for name in given if name in options(EvalConfig) and not options(EvalConfig)[name].running]
        if given.get("runs") and (asked := [name for name in asked if name != "checkpoint"]):
            yield f"finished runs are compared as they are; {', '.join(asked)} belong to --checkpoint"
        base = values.get("baseline")
        if names and base is not None and not values.get("average_seeds") and base not in (*names, *map(slug, names)):
            yield unknown("baseline", base, names)


CONFIG = CompareConfig


def run(config: CompareConfig, context: RunContext) -> Comparison:
    """Compare finished runs, or checkpoints, with a baseline: differences, intervals, tests, winners and losers."""
    if config.runs:
        runs = read(config.runs)
    else:
        shared = {field.name: getattr(config, field.name) for field in fields(Sweep)}
        runs = []
        for name in config.checkpoint:
            stages = Stages(context.stages.show)
            asked = EvalConfig(**{**shared, "checkpoint": name}, resume=True, force=config.force)
            runs.append(evaluate(asked, replace(context, stages=stages)))
    return against(runs, config.baseline, config.average_seeds, context.output, config.force)


def against(
    runs: Sequence[Result], baseline: str | None, average_seeds: bool, output: Path, force: bool = False
) -> Comparison:
    """Compare runs that are there, and write it down."""
    labelled = label(runs)
    notes, given = comparison.check(labelled), labelled
    if average_seeds:
        labelled = comparison.averaged(labelled)
        notes.append("seeds are averaged by query")
    base = _baseline(baseline, labelled)
    labelled = {base: labelled[base], **labelled}  # the baseline first
    return write(labelled, given, base, notes, output, force)


def read(runs: Sequence[str | Path]) -> list[Result]:
    """Finished runs from disk. Raises OptionError naming all that are not."""
    problems = Problems()
    results: list[Result] = []
    for path in map(Path, runs):
        run = RunDirectory(path)
        if not run.finished:
            problems.add(f"{path} is no finished run: it has no manifest.json; harness list runs shows them")
            continue
        with problems:
            if (command := run.read_manifest().command) not in comparison.PLACES:
                raise DataError(f"{path} is a run of harness {command}; compare eval or stress runs")
            results.append(run.result())
    problems.stop(OptionError)
    return results


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
    named = [
        name
        for name, run in labelled.items()
        if asked
        in (
            name,
            str(run.manifest.config["checkpoint"]),
            slug(str(run.manifest.config["checkpoint"])),
            run.path.name,
            str(run.path),
        )
    ]
    if len(named) > 1:
        raise OptionError(f"baseline {asked!r} may be {examples(named)}; give one of these")
    if not named:
        raise OptionError(unknown("baseline", asked, labelled))
    return named[0]


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
    with claim(run, force=force) as new:
        if not new:
            manifest = run.read_manifest()
            names = ("summary.csv", "tests.csv", "queries.parquet")
            summary, tests, queries = (run.read_table(name, manifest) for name in names)
            return Comparison(run.path, summary, tests, queries, manifest)
        run.start("compare", config, maker())
        return _compare(run, runs, baseline, notes, {**base.config, **config})


def _compare(
    run: RunDirectory, runs: dict[str, Result], baseline: str, notes: list[str], config: dict[str, Any]
) -> Comparison:
    """Compare, and write the tables and the manifest."""
    base = runs[baseline].manifest
    values = comparison.stack(runs)
    tests = comparison.compare(values, base.command, baseline, comparison.reached(runs))
    queries = comparison.by_query(values, base.command, baseline)
    summary = pd.concat([one.summary.assign(run=name) for name, one in runs.items()], ignore_index=True)
    for name, table in (("summary.csv", summary), ("tests.csv", tests), ("queries.parquet", queries)):
        run.write_table(name, table)
    manifest = Manifest("compare", config, base.seeds, fingerprints=base.fingerprints, notes=notes, **program())
    run.write_manifest(manifest)
    return Comparison(run.path, summary, tests, queries, manifest)
