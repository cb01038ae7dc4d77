"""How the commands of `hfmnas` fail."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import click

_LONGEST_MESSAGE = 2000


class CommandGroup(click.Group):
    """A group whose commands say in a line what is wrong, and exit with 2, instead of showing a traceback.

    That goes for the exceptions that our functions raise on what they are given: `ValueError`, `OSError` and
    `ImportError` (an extra is missing). Others are bugs and show themselves.

    Beside the commands that are added to it, it has those that installed packages offer as entry points; they are
    imported when they are asked for. One that cannot be imported says so, in the help and when it is called, and
    leaves the others alone.

    Args:
        entry_points: str or None. Name of the group of entry points. Defaults to `None`: there are none.
        **kwargs: as of `click.Group`.
    """

    def __init__(self, *args: Any, entry_points: str | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._entry_points = entry_points

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._offered()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name in (offered := self._offered()):
            try:
                command = offered[cmd_name].load()
            # An entry point is other people's code, or of a package that is not there: any error may come.
            except Exception as error:
                command = _unavailable(offered[cmd_name], error)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader, for example `head`, has had enough.
            raise
        except (ValueError, OSError, ImportError) as error:
            raise _Failure(legible(error)) from error

    def _offered(self) -> dict[str, importlib.metadata.EntryPoint]:
        if self._entry_points is None:
            return {}
        return {point.name: point for point in importlib.metadata.entry_points(group=self._entry_points)}


def _unavailable(point: importlib.metadata.EntryPoint, error: Exception) -> click.Command:
    """A command in the place of one that cannot be imported."""
    reason = f"{point.value} cannot be imported: {legible(error)}"

    @click.pass_context
    def say(context: click.Context) -> None:
        raise ImportError(f"`{context.command_path}` is not available here: {reason}.")

    return click.Command(
        point.name,
        callback=say,
        short_help=f"(not available: {reason.splitlines()[0]})",
        help=f"Not available here: {reason}.",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


def legible(error: Exception) -> str:
    """An exception's message fit for a terminal: what a file holds may be in it, control characters and all."""
    message = str(error)
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}... ({len(message):,} characters)"
    return "".join(
        character if character.isprintable() or character == "\n" else ascii(character)[1:-1] for character in message
    )


class _Failure(click.ClickException):
    exit_code = 2
