"""The command line: every command's options come from its Config, its help from its file."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from harness import commands, interrupts
from harness.errors import HarnessError
from harness.options import Config, Option, options, read_config, usual
from harness.version import __version__

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Commands(click.Group):
    """The commands by name; a command's file is imported when it is run or asked for its help."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(commands.SUMMARIES)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return command(name) if name in commands.SUMMARIES else None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(commands.SUMMARIES.items()))


@click.group(cls=Commands, context_settings=SETTINGS, no_args_is_help=True)
@click.version_option(version=__version__, prog_name="harness")
def app() -> None:
    """What does the pooling of a late-interaction retriever cost as documents grow, or under attack?"""


def command(name: str) -> click.Command:
    """A command as click runs it."""
    module = commands.file(name)
    kind: type[Config] = module.CONFIG
    parameters = [parameter(kind, one, about) for one, about in options(kind).items()]
    if any(not about.argument and not about.running for about in options(kind).values()):
        parameters.append(CONFIG_FILE)

    def run(**given: Any) -> None:
        with interrupts.heard(again()):
            from rich.console import Console

            from harness.commands.context import begin

            config, context = begin(kind, (), question(kind, given), progress=True)
            code = module.show(module.run(config, context), config, Console())
        sys.exit(code)

    return click.Command(name, params=parameters, callback=run, help=module.run.__doc__, context_settings=SETTINGS)


def parameter(kind: type, name: str, declared: Option) -> click.Parameter:
    """A field as click's option or argument; its value goes to the reader as it was typed."""
    flag = next(field.default for field in dataclasses.fields(kind) if field.name == name) is False
    several = next(isinstance(field.default, tuple) for field in dataclasses.fields(kind) if field.name == name)
    if declared.argument:
        return click.Argument([name], nargs=-1 if several else 1, required=False)
    shown = usual(kind, name)
    words = f"{declared.help} [{shown}]" if shown else declared.help
    return click.Option([f"--{name.replace('_', '-')}"], is_flag=flag, default=None, help=words)


CONFIG_FILE = click.Option(
    ["--config"], default=None, help="Options from a YAML file, such as a run's config.yaml; the command line wins."
)


def question(kind: type[Config], given: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, over those of the config file."""
    typed = {key: value for key, value in given.items() if value is not None and value != ()}
    file = typed.pop("config", None)
    return (read_config(kind, Path(file)) if file else {}) | typed


def again() -> str:
    """What to do after a command was cut off: the same again."""
    return f"what is done is kept; go on with: {shlex.join(['harness', *sys.argv[1:]])}"


def main() -> None:
    """Run the command line. A user's mistake is printed without a traceback and ends with exit code 2."""
    try:
        app()
    except HarnessError as error:
        for problem in error.problems:
            print(f"harness: {problem}", file=sys.stderr)
        interrupts.leave(2)
    except OSError as error:  # a full disk, a folder that went away
        print(f"harness: {error}; {again()}", file=sys.stderr)
        interrupts.leave(1)
    except SystemExit as end:
        interrupts.leave(end.code)


if __name__ == "__main__":
    main()
