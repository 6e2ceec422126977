"""A process that runs ``eval`` on the tiny corpus in forks of itself, and kills some: ``python -m tests.surviving``.

Standard input: a JSON list of trials ``{"folder": …, "kill": seconds or null, "full": k or null, "command": …}``. A
trial's fork writes to ``folder/cache``, ``folder/runs`` and a line an encoded text to ``folder/log``; with ``full`` its
k-th write finds a full disk. Standard output: for each trial a JSON line with its exit code, seconds, and what it said.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from pathlib import Path

import faiss
import ir_measures
import numpy as np
import pyarrow.parquet
import scipy.stats

from harness import candidates, cli, commands, files
from harness.commands import provenance
from harness.encoders import NAMED
from harness.engines import kept
from harness.reports.sections import eval as eval_section
from harness.reports.sections import gradients, stress
from harness.scoring import tasks
from harness.vectors import store
from tests.conftest import TINY

IMPORTED = (
    faiss,
    ir_measures,
    pyarrow,
    scipy,
    candidates,
    commands,
    gradients,
    stress,
    eval_section,
)  # once, not by each fork
SHARD, DIM = 8, 8
LINE = ["--dataset", str(TINY), "--checkpoint", "slow", "--lengths", "4,8"]
LINES = {
    "eval": ["eval", *LINE, "--pool", "maxsim,mean"],
    "stress": ["stress", *LINE[:4], "--pool", "maxsim,mean", "--counts", "0,3"],
    "gradients": ["gradients", *LINE, "--pool", "maxsim,mean"],
}


class Slow:
    """Vectors drawn by the text; each item takes its time and leaves a line in a file."""

    fingerprint = "slow"
    seconds, log = 0.002, Path("log")

    def recipe(self, role):
        return {"role": role}

    def tokens(self, text, role):
        return ["word"] * 20

    def encode(self, items, role):
        for at, item in enumerate(items):
            time.sleep(self.seconds)
            with self.log.open("a") as file:
                file.write(f"{item.id}\n")
            drawn = np.random.default_rng(list(item.text.encode())).standard_normal((6 + len(item.text) % 9, DIM))
            yield [(at, drawn.astype(np.float16))]


def full_at(k: int) -> None:
    """From the k-th write on the disk is full."""
    written, fsync = 0, os.fsync

    def sync(file):
        nonlocal written
        written += 1
        if written >= k:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(file)

    files.os.fsync = sync


def child(trial) -> None:
    folder = Path(trial["folder"])
    folder.mkdir(exist_ok=True)
    os.environ["HARNESS_CACHE"], Slow.log = str(folder / "cache"), folder / "log"
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(folder)
    if trial.get("full"):
        full_at(trial["full"])
    Slow.seconds = trial.get("seconds", Slow.seconds)
    sys.argv = ["harness", *LINES[trial.get("command", "eval")]]
    cli.main()


def run(trial) -> dict:
    begin, pid = time.monotonic(), os.fork()
    if pid == 0:
        code = 70
        try:
            child(trial)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    if trial.get("kill") is not None:
        time.sleep(trial["kill"])
        os.kill(pid, trial.get("signal", 9))
    sent = time.monotonic()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = (Path(trial["folder"]) / "err").read_text() if (Path(trial["folder"]) / "err").exists() else ""
    return {"code": code, "seconds": time.monotonic() - begin, "after": time.monotonic() - sent, "said": said}


if __name__ == "__main__":
    store.SHARD, kept.EVERY, tasks.DOCUMENTS = SHARD, 0.0, 3
    provenance.git_revision = lambda: None
    NAMED.register("slow")(lambda dtype, device: Slow())
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
