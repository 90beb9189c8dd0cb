"""The command `spade`. Only what a command needs is imported: reading results must not wait for torch."""

from __future__ import annotations

import ast
import atexit
import gc
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from cyclopts import App, Group, Parameter

from flows.cli.running import errors

_HEADINGS = {  # commands by heading and module
    ("Evaluate a dataset", "evaluation"): ("evaluate", "plan", "demo"),
    ("Datasets", "datasets"): ("inspect", "datasets", "add"),
    ("Experiments", "experiments"): ("sweep", "reproduce", "methods", "robustness"),
    ("Every night", "nights"): ("nightly", "reprocess", "compare", "accept", "serve"),
    ("What the store holds", "results"): ("results", "sql", "report", "export", "repair"),
    ("What takes space", "space"): ("usage", "prune", "pin"),
    ("New images and networks", "images"): ("score", "backbones"),
}
COMMANDS = tuple(chain.from_iterable(_HEADINGS.values()))


def _version() -> str:
    from importlib.metadata import version

    return version("spade-anomaly")


app = App(
    "spade",
    help="Find anomalies in images with nearest neighbours of deep features, and evaluate it.",
    version=_version,
    default_parameter=Parameter(negative=()),
    help_format="plaintext",
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code. What the user can mend is one line on stderr, and exit code 2."""
    with errors():
        code: int | None = app(sys.argv[1:] if arguments is None else arguments)
    return code or 0


def _docstrings(module: str) -> dict[str, str]:
    """The docstrings of a module's functions, which is not imported for them."""
    source = Path(__file__).with_name(f"{module}.py").read_text("utf-8")
    functions = [each for each in ast.parse(source).body if isinstance(each, ast.FunctionDef)]
    return {each.name: ast.get_docstring(each) or "" for each in functions}


for (heading, module), names in _HEADINGS.items():
    group, helps = Group.create_ordered(heading), _docstrings(module)
    for name in names:
        app.command(f"{__package__}.{module}:{name}", name=name, help=helps[name], group=group)

atexit.register(gc.freeze)  # what is left goes with the process: to look for garbage takes torch a second

if __name__ == "__main__":
    sys.exit(main())
