"""The path of a mask as a template, filled with parts of its image's path."""

from __future__ import annotations

import posixpath
from pathlib import PurePosixPath

from storage.errors import DatasetError


def check_template(template: str) -> None:
    """Raise DatasetError unless it is made of {parent}, {stem}, {name}, {category} and {defect}."""
    try:
        filled(template, "folder/name.png", "category", "defect")
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise DatasetError(
            f"mask is {template!r}: it is a path such as '{{parent}}/{{stem}}.png', "
            "made of {parent}, {stem}, {name}, {category} and {defect}"
        ) from error


def filled(template: str, image_id: str, category: str, defect: str) -> str:
    """The path of the mask of an image."""
    path = PurePosixPath(image_id)
    parts = {"parent": path.parent, "stem": path.stem, "name": path.name}
    return posixpath.normpath(template.format(**parts, category=category, defect=defect))
