"""An option, declared once on the field of a command's Config: its default, its reader and its help.

The command line, config files, ``harness COMMAND --help`` and the functions of ``harness`` all come from the fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from harness.errors import OptionError, Problems, first_line, unknown
from harness.files import plain_yaml
from harness.readers import Reader


@dataclass(frozen=True)
class Option:
    """read: from text or YAML; help: a sentence; shown: the default in words, where it is not the field's own.

    argument: given on the command line without a name, several at once where the field is a tuple; running: says how a
    question is answered, such as the device, and is no part of the question; later: came after questions had names, and
    is part of one only where it is not at its default.
    """

    read: Reader
    help: str
    shown: str | None = None
    argument: bool = False
    running: bool = False
    later: bool = False


def option(
    default: Any,
    read: Reader,
    help: str,
    shown: str | None = None,
    argument: bool = False,
    running: bool = False,
    later: bool = False,
) -> Any:
    """A field of a Config that is an option; None as the default means that something else decides."""
    return dataclasses.field(default=default, metadata={"option": Option(read, help, shown, argument, running, later)})


@dataclass(frozen=True)
class Config:
    """What a command is asked, and how it is to be answered."""

    command: ClassVar[str]

    def plain(self) -> dict[str, Any]:
        """The question, as YAML holds it: what names a run's folder, and what its ``config.yaml`` says."""
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        values = {name: getattr(self, name) for name, one in options(type(self)).items() if not one.running}
        values = {
            name: value
            for name, value in values.items()
            if not (options(type(self))[name].later and value == usual[name])
        }
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    @classmethod
    def complete(cls, values: dict[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
        """Fill in what other options decide; yield what is wrong with options together, of those that were read."""
        return iter(())


C = TypeVar("C", bound=Config)


def options(kind: type[Config]) -> dict[str, Option]:
    """Every option of a Config by the name of its field: the question's in order, then those of its answer."""
    found = {field.name: field.metadata["option"] for field in dataclasses.fields(kind)}
    return dict(sorted(found.items(), key=lambda item: item[1].running))


def read_config(kind: type[Config], path: Path) -> dict[str, Any]:
    """Options from a YAML file; a run's ``config.yaml`` is one. Raises OptionError naming unknown keys."""
    import yaml

    try:
        given = plain_yaml(path)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:  # PyYAML lets ValueErrors of values through
        raise OptionError(f"config {path}: {first_line(error)}") from None
    if not isinstance(given, dict):
        raise OptionError(f"config {path}: must be keys and values, one option a line")
    command = given.pop("command", kind.command)
    if command != kind.command:
        raise OptionError(f"config {path} is of `harness {command}`, not of `harness {kind.command}`")
    asked = [name for name, one in options(kind).items() if not one.running]
    if wrong := [str(key) for key in given if key not in asked]:
        raise OptionError(*(f"config {path}: {unknown('option', key, asked)}" for key in wrong))
    return given


def resolve(kind: type[C], **given: Any) -> C:
    """Check every option and fill in defaults; None means not given. Raises OptionError with all mistakes."""
    known = options(kind)
    if wrong := [key for key in given if key not in known]:
        raise OptionError(*(unknown("option", key, known) for key in wrong))
    problems = Problems()
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        value = given.get(field.name)
        with problems:
            read = known[field.name].read
            values[field.name] = field.default if value is None else read(field.name.replace("_", " "), value)
    for line in kind.complete(values, given):
        problems.add(line)
    problems.stop(OptionError)
    return kind(**values)


def usual(kind: type[Config], name: str) -> str:
    """The default of an option as help shows it: ``32,64,128,256``; nothing where there is none."""
    default = next(field.default for field in dataclasses.fields(kind) if field.name == name)
    if (shown := options(kind)[name].shown) is not None:
        return shown
    if default is None or default is False:
        return ""
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
