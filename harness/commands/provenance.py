"""What program answers a question, and what becomes of an answer that is there already."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import packages
from harness.errors import DataError
from harness.files import digest, lock
from harness.options import Config
from harness.packages import DISTRIBUTION, versions
from harness.plugins import digest_of_files
from harness.records import Manifest
from harness.runs import RunDirectory
from harness.scoring import compiled_digest

FORMER = "harness"  # what the distribution was called, and its version in manifests


def program() -> dict[str, Any]:
    """What answers, and when: the manifest's revision, source, versions and time."""
    numbers = {**versions(), "compiled": compiled_digest()}
    return {
        "git_revision": git_revision(),
        "source": source(),
        "versions": numbers,
        "answered": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@functools.cache
def source() -> str:
    """A digest of this program's own code, as it was when this process first asked."""
    return digest_of_files(Path(packages.__file__).resolve().parent)


def git_revision() -> str | None:
    """The revision of the checkout that is running, with a plus if it was changed; None outside one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        revision = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision.strip() + ("+" if changed.stdout else "")


def maker(plugins: Sequence[dict[str, Any]] = ()) -> str:
    """Names all code at work: an unfinished run goes on only with what the same code left."""
    return digest(versions(), git_revision(), source(), plugins)


def start(run: RunDirectory, config: Config, plugins: Sequence[dict[str, Any]] = ()) -> None:
    """Begin or go on with a run; what another version of the program left in it is not used."""
    run.start(config.command, config.plain(), maker(plugins))


@contextmanager
def claim(run: RunDirectory, resume: bool = False, force: bool = False) -> Iterator[bool]:
    """The run's folder, for this process only; False if its answer is there.

    A finished run is shown again, and a line says so; with resume only where another program answered. force: answer
    anew. Of several processes that are asked the same at once, one answers. Raises DataError that names --force if a
    finished run cannot be read.
    """
    if force or not run.finished:
        with lock(run.path, "answering the same question"):
            yield force or not run.finished
        return
    try:
        manifest = run.read_manifest()
        others = differences(manifest)
        if others or not resume:
            print(f"  {run.path} {_answered(run, manifest, others)}", file=sys.stderr)
        yield False
    except DataError as error:
        raise DataError(*(f"{problem}; or answer it anew with --force" for problem in error.problems)) from None


def _answered(run: RunDirectory, manifest: Manifest, others: Sequence[str]) -> str:
    """When and by what a run was answered, and what to do for a new answer."""
    written = datetime.fromtimestamp((run.path / "manifest.json").stat().st_mtime, UTC)
    when = datetime.fromisoformat(manifest.answered) if manifest.answered else written
    what = f"was answered on {when:%Y-%m-%d %H:%M} UTC"
    what += f" by other code: {', '.join(others[:3])}" if others else ""
    what += f" and {len(others) - 3:,} more" if len(others) > 3 else ""
    return f"{what}; it is shown again, --force answers it anew"


def differences(manifest: Manifest) -> list[str]:
    """What differs from the program that answered a run, and from its packages: ``torch 2.12.0, now 2.13.0``.

    What an earlier manifest does not know of is not compared.
    """
    now, then = program(), dict(manifest.versions)
    if FORMER in then:
        then[DISTRIBUTION] = then.pop(FORMER)
    found = [
        f"{name} {version}, now {now['versions'].get(name, 'missing')}"
        for name, version in then.items()
        if now["versions"].get(name) != version
    ]
    key = "source" if manifest.source else "git_revision"
    if getattr(manifest, key) != now[key]:
        found.insert(0, f"harness at {_code(vars(manifest))}, now {_code(now)}")
    return found


def _code(program: dict[str, Any]) -> str:
    """The program's own code, for one line: its revision, where there is one, and its source."""
    revision, mark, _ = (program["git_revision"] or "").partition("+")
    return f"{revision[:8] or 'no revision'}{mark}" + (
        f" (source {program['source'][:8]})" if program["source"] else ""
    )
