"""Ctrl-C: heard within two seconds whatever is being computed, it ends with a line that says how to go on."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 1.0  # seconds after Ctrl-C in which Python may end by itself
THREADS = "engine"  # how the names of an engine's threads begin
CODE = 130  # exit code, as shells have it


@contextmanager
def heard(advice: str) -> Iterator[None]:
    """Ctrl-C ends with one line; what was written is kept. Imports belong inside, too. advice: how to go on."""
    advised = threading.Event()
    with _listening(advised, advice):
        try:
            yield
        except KeyboardInterrupt:
            advised.set()
            print(f"harness: interrupted; {advice}", file=sys.stderr)
            sys.exit(CODE)


@contextmanager
def _listening(advised: threading.Event, advice: str) -> Iterator[None]:
    """Ctrl-C is heard inside one long native call, too (a search of FAISS, a product of MKL), where Python cannot be
    interrupted: a thread that the signal itself wakes ends the process. Every write is atomic and every lock the
    kernel's, so nothing is lost by it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)

    def listen() -> None:
        while signals := ear.recv(1):
            if signals[0] == signal.SIGINT:
                time.sleep(PATIENCE)
                if not advised.is_set():
                    print(f"harness: interrupted; {advice}", file=sys.stderr, flush=True)
                os._exit(CODE)

    before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=listen, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        if not advised.is_set():
            mouth.close()  # else the thread stays, until the process has ended


def leave(code: int | str | None) -> None:
    """End the process; not waiting, as Python would, for what threads of an engine are still at."""
    if code and any(thread.name.startswith(THREADS) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
    sys.exit(code)
