"""The Ray engine: a task an item, on the cores of a cluster, or of a local one that is started for it.

What goes to a task is pickled: of the store's vectors that is the paths of their shards, which the task maps into
memory itself. So every node must see the cache folder, the checkpoint and the working directory under the same paths,
and must have the same packages. A task whose worker dies is done again, elsewhere.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from harness import packages
from harness.engines.base import ENGINES
from harness.engines.local import WAITING, cores
from harness.errors import DataError, HarnessError, OptionError, first_line
from harness.packages import versions
from harness.silence import silent

RETRIES = 5  # times that a task is done again when its worker died
STORE = 256 << 20  # bytes of a local cluster's object store: no vectors go through it, only work and scores
PATIENCE = 5.0  # seconds a cluster has to answer
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@ENGINES.register("ray")
@dataclass(frozen=True)
class Ray:
    """Items are handed out as cores come free; they come back in any order. address: host:port, or None: a local one.

    Raises OptionError if Ray is not installed, or no cluster answers at the address.
    """

    address: str | None = None

    def __post_init__(self) -> None:
        if importlib.util.find_spec("ray") is None:
            raise OptionError(f"engine 'ray' needs Ray: {packages.install('ray')}")
        if self.address is not None:
            _connected(self.address)

    def __call__(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        return self._run(work, items, 1)

    def wide(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """With as many threads a task as the local engine would have: what comes back is the same to the last bit."""
        return self._run(work, items, cores())

    def _run(self, work: Callable[[Any], Any], items: Iterable[Any], threads: int) -> Iterator[tuple[Any, Any]]:
        ray = _connected(self.address)
        nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        cpus = min([threads, *filter(None, nodes)])
        most = WAITING * max(1, sum(nodes) // cpus)
        task = ray.remote(num_cpus=cpus, max_retries=RETRIES)(_task)
        held = [ray.put(Job(ray.cloudpickle.dumps(work), threads))]  # in a list: tasks fetch it once a process
        waiting: dict[Any, Any] = {}
        try:
            for item in items:
                waiting[task.remote(held, ray.cloudpickle.dumps(item))] = item
                if len(waiting) > most:
                    yield _next(ray, waiting)
            while waiting:
                yield _next(ray, waiting)
        finally:
            for reference in waiting:
                ray.cancel(reference)


@dataclass(frozen=True)
class Job:
    """Work as it goes to a worker, pickled on its own, and what must be there as it is here."""

    work: bytes
    threads: int
    folder: str = field(default_factory=os.getcwd)
    packages: dict[str, str] = field(default_factory=versions)

    def unpacked(self) -> Callable[[Any], Any]:
        """The work, on a worker. Raises OptionError if that has other packages than the driver."""
        import ray

        found = versions()
        if other := [name for name, version in self.packages.items() if found.get(name) != version]:
            differ = "; ".join(f"{name} is {found.get(name)}, here {self.packages[name]}" for name in other)
            raise OptionError(f"on the cluster's node {socket.gethostname()} {differ}; install the same")
        with suppress(OSError):
            os.chdir(self.folder)  # for paths that are relative
        work: Callable[[Any], Any] = ray.cloudpickle.loads(self.work)
        return work


@dataclass(frozen=True)
class Failed:
    """An error that a user can mend, on its way back from a worker."""

    error: Exception


def _connected(address: str | None) -> Any:
    """Ray, connected: to the cluster that the program is connected to already, to that address, or to a local one."""
    import ray

    if ray.is_initialized():
        return ray
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": "critical", "include_dashboard": False}
    if address is None:
        how |= {"address": "local", "num_cpus": cores(), "object_store_memory": STORE}
    else:
        _answers(address)
        how = {"address": address, "log_to_driver": False, "logging_level": "critical"}
    try:
        with silent(2) if address else nullcontext():  # a line a second of its own while it waits for a cluster
            ray.init(**how)
    except Exception as error:  # Ray's errors share no base class here
        where = "no local Ray cluster could be started" if address is None else f"no Ray cluster at {address!r}"
        raise OptionError(f"{where}: {first_line(error)}") from None
    return ray


def _answers(address: str) -> None:
    """Raise OptionError, soon, where Ray would wait long for a cluster that does not answer."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise OptionError(f"address {address!r} is no host:port; give the head node's, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise OptionError(f"no Ray cluster answers at {address!r} ({error}); start one: ray start --head") from None


def _next(ray: Any, waiting: dict[Any, Any]) -> tuple[Any, Any]:
    """(item, result) of the first task that is done. Raises what a user can mend as it was raised on the worker."""
    [reference], _ = ray.wait(list(waiting), num_returns=1)
    item = waiting.pop(reference)
    try:
        result = ray.get(reference)
    except ray.exceptions.RayTaskError:
        raise  # a bug: its traceback names the worker's line
    except ray.exceptions.RayError as error:
        raise DataError(f"the Ray cluster gave up on a task: {first_line(error)}; the same command goes on") from None
    if isinstance(result, Failed):
        raise result.error
    return item, result


def _task(held: list[Any], item: bytes) -> Any:
    """On a worker: one item's result, or the error that is to be told."""
    import ray
    import torch
    from threadpoolctl import threadpool_limits

    try:
        work, threads = _job(held[0])
        torch.set_num_threads(threads)
        with threadpool_limits(threads):
            return work(ray.cloudpickle.loads(item))
    except FileNotFoundError as error:
        where = f"{error.filename} is not on the cluster's node {socket.gethostname()}"
        return Failed(DataError(f"{where}; all nodes must see the cache and what a command names under the same paths"))
    except (HarnessError, OSError) as error:
        return Failed(error)


@functools.lru_cache(maxsize=1)
def _job(reference: Any) -> tuple[Callable[[Any], Any], int]:
    """The work that the last tasks of this process had, and its threads."""
    import ray

    job = ray.get(reference)
    return job.unpacked(), job.threads
