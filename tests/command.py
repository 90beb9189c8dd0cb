"""The command `spade`, run in this process."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout

from rich.console import Console

from flows.cli.app import app, main


def spade(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    app.console = Console()  # as wide as the environment says now
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), error.getvalue()
