"""`reasonflux templates …`: look into a running store, change it, let it grow; or check a folder without any service.

Errors are left to the command line that this is a part of, which turns them into sentences and exit codes.
"""

from collections.abc import Callable

import typer

from template_store.cli import changing, checking, growing, moving, reading

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Search, read, check and grow thought templates.",
)

COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Look": (reading.search, reading.show, reading.list_, reading.history, reading.stats, reading.libraries),
    "Change": (
        *(changing.add, changing.edit, changing.activate, changing.quarantine, changing.retire, changing.rollback),
        *(moving.import_, moving.export),
    ),
    "Check (needs no service)": (checking.validate, checking.decontaminate, checking.coverage),
    "Grow": (growing.extract, growing.trial, growing.tune),
}
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(command.__name__.rstrip("_"), rich_help_panel=panel)(command)
