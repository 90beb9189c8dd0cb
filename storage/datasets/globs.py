"""Files below a root by a pattern with named parts.

`*` and `?` stand for characters of one name, `**/` for any folders, `{defect}` for a part of one name that is
returned; a name that occurs twice must be the same both times. All else stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from storage.datasets.tree import Tree
from storage.errors import DatasetError

_TOKENS = re.compile(r"\*\*/|\*|\?|\{(\w+)\}")
_ANY = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}


def check_pattern(pattern: str, names: tuple[str, ...]) -> None:
    """Raise DatasetError unless `pattern` stays below its root and names only parts of `names`."""
    parts = pattern.split("/")
    if "" in parts or ".." in parts:
        raise DatasetError(f"{pattern!r} is no pattern: write a path below the root, such as 'good/*.png'")
    if any("**" in part for part in (*(part for part in parts if part != "**"), parts[-1])):
        raise DatasetError(f"{pattern!r} is no pattern: ** stands between slashes, such as 'good/**/*.png'")
    for name in parts_of(pattern) - set(names):
        raise DatasetError(f"{pattern!r} has a part {{{name}}}: named parts are {', '.join(names)}")


def check_patterns(patterns: Sequence[str], names: tuple[str, ...], common: str) -> bool:
    """Check each; whether all have the part `common`, and none else. DatasetError names what is wrong."""
    for pattern in patterns:
        check_pattern(pattern, names)
    lacking = [pattern for pattern in patterns if common not in parts_of(pattern)]
    if lacking and len(lacking) < len(patterns):
        raise DatasetError(
            f"{lacking[0]!r} has no part {{{common}}}, and others have: give it to all or none"
        )
    return not lacking


def parts_of(pattern: str) -> set[str]:
    """Names of the named parts."""
    return {name for name in _TOKENS.findall(pattern) if name}


def find(tree: Tree, pattern: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each file that `pattern` matches, sorted: its path and its named parts.

    Only folders that can hold a match are listed.
    """
    whole = _expression(pattern)
    for name in sorted(set(_candidates(tree, "", pattern.split("/")))):
        matched = whole.fullmatch(name)
        if matched is not None:
            yield name, matched.groupdict()


def _candidates(tree: Tree, folder: str, parts: list[str]) -> Iterator[str]:
    (head, *rest), prefix = parts, f"{folder}/" if folder else ""
    if head == "**":
        yield from _candidates(tree, folder, rest)
        for name in tree.listing(folder).folders:
            yield from _candidates(tree, prefix + name, parts)
    elif not rest:
        yield from (prefix + name for name in tree.listing(folder).files)
    elif _TOKENS.search(head) is None:
        yield from _candidates(tree, prefix + head, rest)
    else:
        one = _expression(head)
        for name in filter(one.fullmatch, tree.listing(folder).folders):
            yield from _candidates(tree, prefix + name, rest)


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
