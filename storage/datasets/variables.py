"""${VARIABLE} in the texts of a registry."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit


def replaced(name: str, text: str) -> str:
    """The text with the values of the environment variables that it names.

    Raises:
        ValueError: one is not set.
    """
    for variable in re.findall(r"\$\{(\w+)\}", text):
        if variable not in os.environ:
            raise ValueError(f"{name} is {text!r}: set the environment variable {variable}")
    return re.sub(r"\$\{(\w+)\}", lambda match: os.environ[match[1]], text)


def web_address(name: str, text: str) -> str:
    """The text with its variables replaced, a URL that can be posted to.

    Raises:
        ValueError: a variable is not set, or it is no http:// or https:// url; it is named as it is written.
    """
    address = replaced(name, text)
    if urlsplit(address).scheme not in ("http", "https"):
        raise ValueError(f"{name} is {text!r}: it begins with https:// or http://")
    return address
