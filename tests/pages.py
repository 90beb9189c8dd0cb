"""Pages of a report as a reader has them: their text, and what they refer to."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag

_VOID = {"meta", "link", "img", "path", "circle", "rect", "image", "use", "br"}


class Links(HTMLParser):
    """Everything that a page refers to, and its text; a tag that is not closed is refused."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.pictures = 0
        self.nameless = 0
        self.text = ""
        self.open: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))
        assert self.open == [], (page, self.open)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "img":
            self.pictures += 1
            self.nameless += not given.get("alt")
        assert tag != "script"
        assert not any(name.startswith("on") for name in given)
        self.found += [given[name] or "" for name in ("href", "src", "xlink:href") if name in given]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def text(page: Path) -> str:
    """What is to be read on a page, with single blanks."""
    return re.sub(r" (?=[,.;)])", "", re.sub(r"\s+", " ", Links(page).text))


def page_of(folder: Path, name: str) -> Path:
    """The page of a test image, by the end of its title."""
    titled = [page for page in folder.glob("0*.html") if f": {name} · SPADE" in text(page)]
    assert len(titled) == 1
    return titled[0]


def check_references(report: Path) -> None:
    """Each reference is relative and leads to a file, each file is referred to, each picture has a name."""
    seen = set()
    for page in report.rglob("*.html"):
        links = Links(page)
        assert links.nameless == 0
        for link in links.found:
            target = urldefrag(link).url
            if target and not link.startswith(("data:,", "#")):
                assert not re.match(r"[a-z]+:|/", link)
                assert (page.parent / target).is_file(), (page, link)
                seen.add((page.parent / target).resolve())
    written = {path.resolve() for path in report.rglob("*") if path.is_file()}
    assert {path.name for path in written - seen} == {"spade-report.json"}
