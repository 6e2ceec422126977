"""A hub on 127.0.0.1 that speaks as much of the real one's interface as its client asks for."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


class Hub:
    """Repositories by name, each a folder of files by revision; what was asked of it, and how it misbehaves.

    private, gated: names that need a token; busy: answers of 429 before the next one; cut: path → bytes after which the
    connection breaks, once; stall: path → bytes after which nothing more comes.
    """

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, Path]] = {}
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.busy = 0
        self.cut: dict[str, int] = {}
        self.stall: dict[str, int] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.address = ""

    def add(self, repo: str, folder: Path, *revisions: str) -> str:
        """Publish a folder under a name; the last revision is main. Returns its commit."""
        commit = hashlib.sha1(str(folder).encode()).hexdigest()
        for revision in (commit, "main", *revisions):
            self.repos.setdefault(repo, {})[revision] = folder
        return commit

    def commit(self, repo: str, revision: str) -> str | None:
        folder = self.repos.get(repo, {}).get(revision)
        return hashlib.sha1(str(folder).encode()).hexdigest() if folder else None


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers for as long as the block runs."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            answer(hub, self, body=False)

        def do_GET(self) -> None:
            answer(hub, self, body=True)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def answer(hub: Hub, ask: BaseHTTPRequestHandler, body: bool) -> None:
    path = unquote(urlsplit(ask.path).path)
    hub.asked.append((ask.command, path, ask.headers.get("Range", "")))
    if hub.busy:
        hub.busy -= 1
        return say(ask, 429, {"Retry-After": "0"}, b"busy", body)
    if api := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
        return listing(hub, ask, api[1], api[2] or "main", body)
    if file := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
        return resolve(hub, ask, file[1], file[2], file[3], body)
    if store := re.fullmatch(r"/store/([^/]+/[^/]+)/([^/]+)/(.+)", path):
        return content(hub, ask, hub.repos[store[1]][store[2]] / store[3], store[3], body)
    return say(ask, 404, {}, b"", body)


def refused(hub: Hub, ask: BaseHTTPRequestHandler, repo: str, revision: str, body: bool) -> bool:
    token = "Authorization" in ask.headers
    if repo in hub.gated and not token:
        say(ask, 401, {"X-Error-Code": "GatedRepo"}, b"", body)
    elif repo not in hub.repos or (repo in hub.private and not token):
        say(ask, 401, {"X-Error-Code": "RepoNotFound"}, b"", body)
    elif hub.commit(repo, revision) is None:
        say(ask, 404, {"X-Error-Code": "RevisionNotFound"}, b"", body)
    else:
        return False
    return True


def listing(hub: Hub, ask: BaseHTTPRequestHandler, repo: str, revision: str, body: bool) -> None:
    if refused(hub, ask, repo, revision, body):
        return
    folder = hub.repos[repo][revision]
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    about = {
        "id": repo,
        "sha": hub.commit(repo, revision),
        "siblings": [{"rfilename": name} for name in names],
        "private": False,
        "tags": [],
        "downloads": 0,
        "likes": 0,
    }
    say(ask, 200, {"Content-Type": "application/json"}, json.dumps(about).encode(), body)


def resolve(hub: Hub, ask: BaseHTTPRequestHandler, repo: str, revision: str, name: str, body: bool) -> None:
    """Small files at once, others by a redirect to a store, as the hub does with large ones."""
    if refused(hub, ask, repo, revision, body):
        return
    file = hub.repos[repo][revision] / name
    if not file.is_file():
        return say(ask, 404, {"X-Error-Code": "EntryNotFound"}, b"", body)
    commit, data = {"X-Repo-Commit": str(hub.commit(repo, revision))}, file.read_bytes()
    etag = f'"{hashlib.sha256(data).hexdigest()}"'
    if not name.endswith((".parquet", ".jsonl")):
        return say(ask, 200, commit | {"ETag": etag}, data, body)
    store = hub.address.replace("127.0.0.1", "localhost")  # another host, as the real store is
    where = f"{store}/store/{repo}/{revision}/{name}"
    linked = {"X-Linked-ETag": etag, "X-Linked-Size": str(len(data)), "Location": where}
    return say(ask, 302, commit | linked, b"", body)


def content(hub: Hub, ask: BaseHTTPRequestHandler, file: Path, name: str, body: bool) -> None:
    data, begin = file.read_bytes(), 0
    if given := re.fullmatch(r"bytes=(\d+)-", ask.headers.get("Range", "")):
        begin = int(given[1])
    rest = data[begin:]
    ask.send_response(206 if begin else 200)
    ask.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
    ask.send_header("Content-Length", str(len(rest)))
    if begin:
        ask.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
    ask.end_headers()
    if not body:
        return
    if (size := hub.cut.pop(name, None)) is not None:
        ask.wfile.write(rest[:size])
        ask.wfile.flush()
        ask.close_connection = True
        ask.connection.close()
    elif (size := hub.stall.get(name)) is not None:
        ask.wfile.write(rest[:size])
        ask.wfile.flush()
        time.sleep(60)
    else:
        ask.wfile.write(rest)


def say(ask: BaseHTTPRequestHandler, status: int, headers: dict[str, str], data: bytes, body: bool) -> None:
    ask.send_response(status)
    for name, value in headers.items():
        ask.send_header(name, value)
    ask.send_header("Content-Length", str(len(data)))
    ask.end_headers()
    if body:
        ask.wfile.write(data)
