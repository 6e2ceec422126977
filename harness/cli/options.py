"""What the commands share: options, how a question is split from how it is answered, and Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

HOW = ("device", "engine", "address", "output", "resume", "force", "explain", "trust_remote_code", "strict")
"""Options that say how a question is answered; a config file holds none of them."""


def option(text: str, *names: str) -> Any:
    """An option whose help names its default in brackets. names: such as ``--flag``, for one without ``--no-flag``."""
    return typer.Option(*names, help=text, show_default=False)


PATIENCE = 1.0  # seconds after Ctrl-C in which Python may end by itself


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends with one line that says how to go on; what was written is kept. Imports belong inside, too."""
    told = threading.Event()
    with _heard(told):
        try:
            yield
        except KeyboardInterrupt:
            told.set()
            print(f"harness: interrupted; {kept()}", file=sys.stderr)
            raise typer.Exit(130) from None


@contextmanager
def _heard(told: threading.Event) -> Iterator[None]:
    """Ctrl-C is heard inside one long native call, too (a search of FAISS, a product of MKL), where Python cannot be
    interrupted: a thread that the signal itself wakes ends the process. Every write is atomic and every lock the
    kernel's, so nothing is lost by it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)

    def listen() -> None:
        while heard := ear.recv(1):
            if heard[0] == signal.SIGINT:
                time.sleep(PATIENCE)
                if not told.is_set():
                    print(f"harness: interrupted; {kept()}", file=sys.stderr, flush=True)
                os._exit(130)

    before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=listen, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        if not told.is_set():
            mouth.close()  # else the thread stays, until the process has ended


def kept() -> str:
    """What to do after a command was cut off: the same again."""
    return f"what is done is kept; go on with: {shlex.join(['harness', *sys.argv[1:]])}"


def ask(kind: str, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a command's options into the question, over what a config file says, and how it is to be answered."""
    from harness import config

    given = {key: value for key, value in options.items() if value is not None}
    file = given.pop("config", None)
    how: dict[str, Any] = {key: given.pop(key) for key in HOW if key in given}
    return (config.read_config(getattr(config, kind), file) if file else {}) | given, how


Dataset = Annotated[
    str | None, option("A name from `harness list datasets`, a folder, or owner/name of the hub. [stdlib]")
]
Split = Annotated[str | None, option("Judged split. [the dataset's first]")]
Checkpoint = Annotated[str | None, option("minilm, a local folder, a hub id, or embeddings:FOLDER. [minilm]")]
Pool = Annotated[str | None, option("Aggregators, e.g. maxsim,topk:4,softmax:0.1; the first is the baseline. [maxsim]")]
Lengths = Annotated[str | None, option("Patches a document is cut or grown to. [32,64,128,256]")]
Candidates = Annotated[str | None, option("First stage: faiss, pooled, bm25, exact (all documents). [faiss]")]
Index = Annotated[str | None, option("flat, ivf-sq, ivf-pq, disk, disk:ivf-pq, or a FAISS factory string. [by size]")]
Depth = Annotated[int | None, option("Documents reranked and kept, a query. [100]")]
Measures = Annotated[str | None, option("ir_measures names. [nDCG@10,R@1,R@10]")]
Limit = Annotated[int | None, option("Only the first queries.")]
Seed = Annotated[int | None, option("Of everything random. [0]")]
Dtype = Annotated[str | None, option("Of the encoder: float32, or bfloat16, faster where the CPU has it. [float32]")]
Device = Annotated[str, option("auto, cpu or cuda. [auto]")]
Engine = Annotated[str, option("Where work runs: local, or ray, tasks on a cluster. [local]")]
Address = Annotated[str | None, option("Of a Ray cluster, e.g. 10.0.0.1:6379. [a local one]")]
Output = Annotated[Path, option("Folder of runs. [runs]")]
Resume = Annotated[bool, option("Show a finished run again without the line that says it is one.")]
Force = Annotated[bool, option("Answer anew, over the files of a finished run. [off]", "--force")]
Strict = Annotated[bool, option("What is untidy in the dataset is an error, not a note.", "--strict")]
Trust = Annotated[bool, option("Run code that the checkpoint brings. [off]", "--trust-remote-code")]
Config = Annotated[Path | None, option("Options from a YAML file, such as a run's config.yaml; the line wins.")]
