"""Texts in Markdown documents."""

from __future__ import annotations


def escaped(text: str) -> str:
    """Text that stays in its cell and means nothing to Markdown."""
    joined = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in joined)
