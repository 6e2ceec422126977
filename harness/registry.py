"""Names to plugins: register by decorator, make from a spec such as ``topk:4``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from harness.errors import OptionError, unknown
from harness.plugins import Plugin, digest_of, origin, outside

T = TypeVar("T")


class Registry(Generic[T]):
    """Plugins of one kind. Packages outside register through the entry-point group ``harness.<noun>s``."""

    def __init__(self, noun: str):
        self.noun = noun
        self._plugins: dict[str, T] = {}
        self._sources: dict[str, str] = {}  # digests of what other packages brought, as it was when it was imported
        self._loaded = False

    def register(self, name: str) -> Callable[[T], T]:
        """Register what is decorated; a name can be taken once."""

        def add(plugin: T) -> T:
            if name in self._plugins:
                raise ValueError(f"{self.noun} {name!r} is already registered by {self._plugins[name]!r}")
            self._plugins[name] = plugin
            if outside(plugin):
                self._sources[name] = digest_of(plugin)
            return plugin

        return add

    def forget(self, name: str) -> None:
        """Undo a registration; for tests that bring a plugin of their own."""
        self._plugins.pop(name, None)
        self._sources.pop(name, None)

    def origin(self, name: str) -> Plugin | None:
        """Where the plug-in of that name comes from; None if from this program."""
        plugin = self[name]
        return origin(plugin, self._sources[name]) if name in self._sources else None

    def _load(self) -> None:
        if not self._loaded:
            self._loaded = True
            for point in entry_points(group=f"harness.{self.noun}s"):
                point.load()

    def names(self) -> list[str]:
        self._load()
        return sorted(self._plugins)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __getitem__(self, name: str) -> T:
        self._load()
        if name not in self._plugins:
            raise OptionError(unknown(self.noun, name, self._plugins))
        return self._plugins[name]

    def make(self, spec: str) -> Any:
        """Build the plugin a spec names. Raises OptionError that says what is wrong with the spec."""
        name, *values = spec.strip().split(":")
        plugin: Any = self[name]
        try:
            return plugin(**_arguments(plugin, values))
        except ValueError as error:
            raise OptionError(f"{self.noun} {spec!r}: {error}") from None


def spec_of(name: str, plugin: Any) -> str:
    """The canonical spec: the name, then every parameter as Python prints it, colons between."""
    values = [getattr(plugin, field.name) for field in dataclasses.fields(plugin)]
    return ":".join([name, *map(str, values)])


def _arguments(plugin: Any, values: list[str]) -> dict[str, Any]:
    fields = {field.name: field for field in dataclasses.fields(plugin)}
    takes = ":".join(f"{name}={field.default}" for name, field in fields.items()) or "no parameter"
    if len(values) > len(fields):
        raise ValueError(f"too many parameters; it takes {takes}")
    arguments: dict[str, Any] = {}
    for position, value in enumerate(values):
        name, equals, text = value.partition("=")
        if not equals:
            name, text = list(fields)[position], value
        if name not in fields:
            raise ValueError(f"no parameter {name!r}; it takes {takes}")
        if name in arguments:
            raise ValueError(f"parameter {name!r} given twice")
        arguments[name] = _read(name, text, type(fields[name].default))
    return arguments


def _read(name: str, text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        wanted = {int: "a whole number", float: "a number"}.get(kind, kind.__name__)
        raise ValueError(f"{name} must be {wanted}, not {text!r}") from None
