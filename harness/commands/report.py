"""``harness report``: tables, charts and a page of finished runs; nothing is computed."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePath
from typing import Any

from rich.console import Console
from rich.markup import escape

from harness import commands, readers
from harness.commands.context import RunContext, check_output
from harness.errors import DataError, HarnessError, OptionError, Problems
from harness.files import write_atomically
from harness.options import Config, option, resolve
from harness.records import Manifest
from harness.reports.content import Report, RunSection
from harness.reports.formats import terminal
from harness.reports.formats.base import Files, Writer, formats
from harness.reports.reading import FinishedRun, open_run
from harness.reports.sections.base import section

FOLDER = "reports"
SHOWN = 12  # files listed


@dataclass(frozen=True)
class ReportConfig(Config):
    """``harness report``."""

    command = "report"

    runs: tuple[str, ...] = option(
        (), readers.each(readers.text), "Folders of finished runs, of any command.", argument=True
    )
    format: tuple[str, ...] = option(
        (),
        readers.each(readers.text),
        "What to write: md, latex, csv, html, svg, png, mteb, ranx.",
        "none: print tables",
    )
    output: Path | None = option(
        None, readers.path, "Folder of the report.", "reports/, then the first run's name", running=True
    )
    no_texts: bool = option(False, readers.flag, "Leave out the corpus's texts and tokens, to publish the rest.")


CONFIG = ReportConfig


def run(config: ReportConfig, context: RunContext) -> Report:
    """Show finished runs as tables in the terminal, or write files: Markdown, LaTeX, a page, charts, MTEB, ranx."""
    runs, names, output = config.runs, config.format, config.output
    folder = output or (Path(FOLDER) / Path(runs[0]).resolve().name if runs else Path())
    problems = Problems()
    if not runs:
        problems.add("give the folder of a finished run; harness list runs shows them")
    if output is not None and not names:
        problems.add("give --format, such as --format html,md; --output is where these go")
    with problems:
        writers = _writers(names)
    if names:
        with problems:
            check_output(folder)
    opened = _open(runs, problems)
    problems.stop(OptionError)
    report = build([replace(one, quotes=not config.no_texts) for one in opened], names, output)
    files = []
    for name, writer in writers.items():
        with context.stages(f"write {name}", None, "files") as advance:
            for path, content in _inside(folder, writer(report), report):
                write_atomically(path, content)
                files.append(path)
                advance()
    return replace(report, files=tuple(files))


def _inside(folder: Path, contents: Files, report: Report) -> Iterator[tuple[Path, bytes]]:
    """What a format writes, by its path. Raises DataError if a run names one out of the folder."""
    paths = [section.run.path for section in report.sections]
    for name, content in contents:
        if ".." in PurePath(name).parts or PurePath(name).is_absolute() or "\0" in name:
            raise DataError(f"{' or '.join(map(str, paths))} would write to {name!r}, out of {folder}: refused")
        yield folder / name, content


def build(opened: Sequence[FinishedRun], names: Sequence[str] = (), output: str | Path | None = None) -> Report:
    """Opened runs as a report, without writing it."""
    labels = _labels(opened)
    sections: list[RunSection] = []
    for run, label in zip(opened, labels, strict=True):
        line = command_of(run.manifest) if names else ""  # the terminal does not show it, and options need torch
        sections.append(section(replace(run, command=line), label))
    asked = shlex.join(["harness", "report", *(str(run.path) for run in opened)])
    asked += f" --format {','.join(names)}" if names else ""
    asked += f" --output {shlex.quote(str(output))}" if output else ""
    asked += "" if all(run.quotes for run in opened) else " --no-texts"
    datasets = list(dict.fromkeys(str(run.manifest.config.get("dataset", "synthetic")) for run in opened))
    return Report(f"What pooling costs: {', '.join(datasets)}", tuple(sections), asked)


def _open(runs: Sequence[str | Path], problems: Problems) -> list[FinishedRun]:
    found, seen = [], set()
    for path in map(Path, runs):
        with problems:
            if path.resolve() in seen:
                raise OptionError(f"{path} is given twice")
            seen.add(path.resolve())
            found.append(open_run(path))
    return found


def _writers(names: Sequence[str]) -> dict[str, Writer]:
    problems, writers = Problems(), {}
    for name in map(str.strip, names):
        with problems:
            writers[name] = formats()[name]
    problems.stop(OptionError)
    return writers


def _labels(opened: Sequence[FinishedRun]) -> list[str]:
    """Names of the sections, for files and links: the runs' folders; where these are equal with a number."""
    names = [run.path.resolve().name for run in opened]
    return [name if names.count(name) == 1 else f"{name}-{at + 1}" for at, name in enumerate(names)]


def command_of(manifest: Manifest) -> str:
    """The line that repeats a run: its command and the options that are not the defaults."""
    config = manifest.config
    if manifest.command == "compare":
        flags = ["--average-seeds"] if config.get("average_seeds") else []
        return shlex.join(["harness", "compare", *config["runs"].values(), "--baseline", config["baseline"], *flags])
    usual = _usual(manifest)
    words = ["harness", manifest.command]
    for key, value in config.items():
        plain = list(value) if isinstance(value, tuple) else value
        if value is not None and plain != usual.get(key):
            text = ",".join(map(str, plain)) if isinstance(plain, list) else str(plain)
            words += [f"--{key.replace('_', '-')}", text]
    return shlex.join(words)


def _usual(manifest: Manifest) -> dict[str, Any]:
    """The defaults of a command, for the dataset it was asked about where that is still known."""
    if manifest.command not in commands.SUMMARIES:
        return {}
    kind = commands.file(manifest.command).CONFIG
    usual = {field.name: field.default for field in fields(kind)}
    if dataset := manifest.config.get("dataset"):
        with contextlib.suppress(HarnessError):
            usual = vars(resolve(kind, dataset=dataset)) | {"dataset": usual["dataset"]}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in usual.items()}


def show(report: Report, config: ReportConfig, console: Console) -> int:
    """Print the tables, or the files that were written."""
    for path in report.files[:SHOWN]:
        console.print(escape(str(path)), soft_wrap=True, highlight=False)
    if (more := len(report.files) - SHOWN) > 0:
        console.print(f"and {more:,} more", highlight=False)
    for part in () if report.files else report.sections:
        terminal.show(part, console)
    return 0
