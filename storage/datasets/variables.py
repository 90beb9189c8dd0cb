"""${VARIABLE} in the texts of a registry."""

from __future__ import annotations

import os
import re


def replaced(name: str, text: str) -> str:
    """The text with the values of the environment variables that it names.

    Raises:
        ValueError: one is not set.
    """
    for variable in re.findall(r"\$\{(\w+)\}", text):
        if variable not in os.environ:
            raise ValueError(f"{name} is {text!r}: set the environment variable {variable}")
    return re.sub(r"\$\{(\w+)\}", lambda match: os.environ[match[1]], text)
