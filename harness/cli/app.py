"""The command line's root; commands register with it where they are defined."""

from __future__ import annotations

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing what draws panels takes longer than all else of --help
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="What does the pooling operator of a late-interaction retriever cost as documents grow or get attacked?",
)
