"""How the commands of `hfmnas` fail."""

from __future__ import annotations

from typing import Any

import click

_LONGEST_MESSAGE = 2000


class CommandGroup(click.Group):
    """A group whose commands say in a line what is wrong, and exit with 2, instead of showing a traceback.

    That goes for the exceptions that our functions raise on what they are given: `ValueError`, `OSError` and
    `ImportError` (an extra is missing). Others are bugs and show themselves.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader, for example `head`, has had enough.
            raise
        except (ValueError, OSError, ImportError) as error:
            raise _Failure(legible(error)) from error


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
