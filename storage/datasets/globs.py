"""Files below a root by a pattern with named parts.

`*` and `?` stand for characters of one name, `**/` for any folders, `{defect}` for a part of one name that is
returned; a name that occurs twice must be the same both times. All else stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from storage.datasets.listing import Listing
from storage.errors import DatasetError
from storage.store.location import Location

_TOKENS = re.compile(r"\*\*/|\*|\?|\{(\w+)\}")
_ANY = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}

List = Callable[[Location], Listing]


def check_pattern(pattern: str, names: tuple[str, ...]) -> None:
    """Raise DatasetError unless `pattern` stays below its root and names only parts of `names`."""
    parts = pattern.split("/")
    if "" in parts or ".." in parts:
        raise DatasetError(f"{pattern!r} is no pattern: write a path below the root, such as 'good/*.png'")
    if any("**" in part for part in (*(part for part in parts if part != "**"), parts[-1])):
        raise DatasetError(f"{pattern!r} is no pattern: ** stands between slashes, such as 'good/**/*.png'")
    for name in parts_of(pattern) - set(names):
        raise DatasetError(f"{pattern!r} has a part {{{name}}}: named parts are {', '.join(names)}")


def parts_of(pattern: str) -> set[str]:
    """Names of the named parts."""
    return {name for name in _TOKENS.findall(pattern) if name}


def find(root: Location, pattern: str, listing: List) -> Iterator[tuple[str, dict[str, str]]]:
    """Each file that `pattern` matches, sorted: its path below `root` and its named parts.

    Only folders that can hold a match are listed, by `listing`.
    """
    whole = _expression(pattern)
    for name in sorted(set(_candidates(root, "", pattern.split("/"), listing))):
        matched = whole.fullmatch(name)
        if matched is not None:
            yield name, matched.groupdict()


def _candidates(folder: Location, prefix: str, parts: list[str], listing: List) -> Iterator[str]:
    head, *rest = parts
    if head == "**":
        yield from _candidates(folder, prefix, rest, listing)
        for name in listing(folder).folders:
            yield from _candidates(folder / name, f"{prefix}{name}/", parts, listing)
    elif not rest:
        yield from (prefix + name for name in listing(folder).files)
    elif _TOKENS.search(head) is None:
        yield from _candidates(folder / head, f"{prefix}{head}/", rest, listing)
    else:
        one = _expression(head)
        for name in filter(one.fullmatch, listing(folder).folders):
            yield from _candidates(folder / name, f"{prefix}{name}/", rest, listing)


def _expression(pattern: str) -> re.Pattern[str]:
    expression, last, named = "", 0, set()
    for token in _TOKENS.finditer(pattern):
        expression += re.escape(pattern[last : token.start()])
        name = token[1]
        if name is None:
            expression += _ANY[token[0]]
        else:
            expression += f"(?P={name})" if name in named else f"(?P<{name}>[^/]+)"
            named.add(name)
        last = token.end()
    return re.compile(expression + re.escape(pattern[last:]), re.DOTALL)
