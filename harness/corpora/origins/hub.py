"""A dataset of a hub, ``owner/name[@revision][/folder]``, as a folder: only the files that its layout reads.

The revision is resolved once to a commit and remembered, so that a later run asks the network nothing and reads the
same bytes; ``@main`` is remembered too, another ``@revision`` is another dataset. Files lie in the hub's own cache,
where a download that was cut off goes on; the folder that is read holds links to them. ``$HF_ENDPOINT`` names another.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from harness.corpora.cards import Card
from harness.corpora.layouts import LAYOUTS, Layout, layout_of
from harness.errors import DataError, first_line
from harness.files import cache_folder, digest, lock, sealed, unsealed

NAME = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w.-]+))?(/(?P<path>[\w./-]+))?")
COMPANIONS = {
    "-qrels": "qrels",
    "-Queries": "queries",
}  # of BeIR's and LoCo's pairs of repositories: where its files go
TRIES, PATIENCE = 5, 60.0  # of a hub that is asked too often or breaks off; seconds waited at most
TRANSPORTS = ("requests", "urllib3", "httpx", "httpx2")  # packages whose errors are of the connection
T = TypeVar("T")


@dataclass(frozen=True)
class Listing:
    """A repository at a commit: file as the layout should see it → (repository, commit, file there)."""

    repo: str
    commit: str
    files: dict[str, tuple[str, str, str]]

    @property
    def version(self) -> str:
        return f"{self.repo}@{self.commit}"


def is_name(name: str) -> bool:
    """Whether a name can be a hub's and is no path: its owner is no folder here."""
    return bool(NAME.fullmatch(name)) and not Path(name.split("/")[0]).is_dir()


def card(name: str) -> Card:
    """The card of a hub's dataset: its splits, from its list of files. Raises DataError with the next step."""
    match = NAME.fullmatch(name)
    assert match is not None
    found = Card(
        name, "hub", f"a dataset of the hub: {name}", hub=match["repo"], revision=match["revision"], path=match["path"]
    )
    with _skeleton(found) as (folder, layout, _):
        splits = sorted(set(layout.splits(folder, found)) or {"test"}, key=lambda split: (split != "test", split))
    return Card(**{**vars(found), "splits": splits})


def download(card: Card, split: str) -> tuple[Path, str]:
    """A folder of links to the files that a split needs, all in the hub's cache, and what it is a version of."""
    with _skeleton(card) as (folder, layout, listing):
        if (splits := layout.splits(folder, card)) and split not in splits:
            what = f"{card.hub} has no split {split!r}, but {', '.join(splits[:8])}"
            raise DataError(f"dataset {card.name!r}: {what}; write 'splits: [{splits[0]}]' into its card")
        wanted = [path.relative_to(folder) for paths in layout.files(folder, split, card).values() for path in paths]
    names = [PurePosixPath(card.path or "", path.as_posix()).as_posix() for path in wanted]
    place = cache_folder() / "hub" / digest(listing.version, card.path) / PurePosixPath(card.path or listing.repo).name
    with lock(place, f"downloading {card.hub}"):
        for path, name in zip(wanted, names, strict=True):
            link, file = place / path, _file(*listing.files[name])
            link.parent.mkdir(parents=True, exist_ok=True)
            if link.is_symlink() and link.resolve() != file.resolve():
                link.unlink()
            if not link.is_symlink():
                link.symlink_to(file)
    return place, listing.version


@contextmanager
def _skeleton(card: Card) -> Iterator[tuple[Path, Layout, Listing]]:
    """A folder of empty files, named as those of the repository: layouts go by names."""
    listing = _listing(card)
    with tempfile.TemporaryDirectory() as work:
        root = Path(work) / listing.repo.rpartition("/")[2]
        for name in listing.files:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        folder = root / (card.path or "")
        if (layout := layout_of(folder)) is None:
            raise DataError(f"dataset {card.name!r}: {_unread(folder, card)}")
        yield folder, LAYOUTS[layout], listing


def _unread(folder: Path, card: Card) -> str:
    """Why a repository cannot be read, and what may be meant."""
    if not folder.is_dir():
        return f"the repository {card.hub} has no folder {card.path!r}"
    parts = sorted(path.name for path in folder.iterdir() if path.is_dir() and layout_of(path))
    if parts:
        return f"it is {len(parts)} datasets: {', '.join(parts[:20])}; give one of them, such as {card.name}/{parts[0]}"
    names = sorted(path.name for path in folder.iterdir())
    return f"no layout that is read (see datasets/README.md); it has {', '.join(names[:8]) or 'no file'}"


def _listing(card: Card) -> Listing:
    """The files of a repository, of its companion too where it has no judgments of its own; from the cache if there."""
    repo, revision = str(card.hub), card.revision
    place = cache_folder() / "hub" / f"{digest(repo, revision)}.json"
    if place.exists() and (kept := unsealed(place)) is not None:
        return Listing(**{**(held := json.loads(kept)), "files": {k: tuple(v) for k, v in held["files"].items()}})
    commit, names = _files(repo, revision)
    files = {name: (repo, commit, name) for name in names if _safe(name)}
    for ending, folder in COMPANIONS.items():
        other = repo.removesuffix("-Documents") + ending
        if not any(re.search(rf"(^|[/_-]){folder}[/_.-]", name) for name in files):
            try:
                its, more = _files(other, None)
            except DataError:
                continue
            files |= {f"{folder}/{name.removeprefix(f'{folder}/')}": (other, its, name) for name in more if _safe(name)}
    with sealed(place) as write:
        write(json.dumps({"repo": repo, "commit": commit, "files": files}).encode())
    return Listing(repo, commit, files)


def _safe(name: str) -> bool:
    """Whether a file's name stays inside a folder, and is not one of the repository's own."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and not name.startswith(".")


def _files(repo: str, revision: str | None) -> tuple[str, list[str]]:
    """The commit that a revision is, and the names of its files."""
    from huggingface_hub import HfApi

    found = _asked(repo, lambda: HfApi().dataset_info(repo, revision=revision))
    return str(found.sha), sorted(one.rfilename for one in found.siblings or [])


def _file(repo: str, commit: str, name: str) -> Path:
    """A file in the hub's cache, downloaded if it is not there."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    held = try_to_load_from_cache(repo, name, revision=commit, repo_type="dataset")
    if isinstance(held, str):
        return Path(held)
    return Path(_asked(repo, lambda: hf_hub_download(repo, name, revision=commit, repo_type="dataset")))


def _asked(repo: str, ask: Callable[[], T]) -> T:
    """What the hub answers; asked again where it is asked too often, or where a connection breaks: a download goes on.

    Raises DataError with the next step.
    """
    for turn in range(TRIES):
        try:
            return ask()
        except Exception as error:  # the client's errors share no base class
            response: Any = getattr(error, "response", None)
            status = getattr(response, "status_code", None)
            broken = status is None and type(error).__module__.partition(".")[0] in TRANSPORTS
            if turn == TRIES - 1 or not (broken or status == 429):
                raise DataError(
                    f"dataset {repo!r} could not be fetched from the hub: {_reason(error, status)}"
                ) from None
            headers = response.headers if response is not None else {}
            time.sleep(_seconds(headers.get("Retry-After"), 2.0**turn))
    raise AssertionError("unreachable")


def _seconds(text: str | None, otherwise: float) -> float:
    return min(PATIENCE, float(text) if text and text.isdigit() else otherwise)


def _reason(error: Exception, status: int | None) -> str:
    kind = type(error).__name__
    if kind == "GatedRepoError" or status == 403:
        return "its owner grants access; ask for it on its page, and log in: huggingface-cli login"
    if kind == "RevisionNotFoundError":
        return "it has no such revision; leave @revision out for the newest"
    if status in (401, 404):
        return "there is no such dataset, or it is private: check the name, or log in: huggingface-cli login"
    if kind in ("OfflineModeIsEnabled", "LocalEntryNotFoundError"):
        return "it is not in the cache, and the network is off (HF_HUB_OFFLINE) or away; repeat the command with it"
    return f"{kind}: {first_line(error)}; check the network and repeat the command, it goes on where it was cut off"
