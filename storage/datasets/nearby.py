"""What lies around a folder that is no dataset: which other one may have been meant."""

from __future__ import annotations

from storage.datasets.layouts.known import MVTEC, recognise
from storage.datasets.tree import Tree
from storage.store.location import Location

ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".7z", ".rar"})
_MANY = 50  # folders that are looked into


def advice(root: Location) -> str:
    """What to name in place of a folder that holds no category, as the end of a sentence; or nothing."""
    here = Tree(root).listing()
    found = {name: shown_by(root / name) for name in here.folders[:_MANY]}
    inside = [f"{name} in it is laid out as {kind}" for name, kind in found.items() if kind]
    if inside:
        return f"; {', '.join(inside)}: name {'that folder' if len(inside) == 1 else 'one of these folders'}"
    archives = [name for name in here.files if (root / name).suffix.lower() in ARCHIVES]
    if archives and not here.folders:
        return f"; unpack {archives[0]} first"
    for above in (root.parent, root.parent.parent):
        kind = shown_by(above) if above != root else None
        if kind:
            return f"; the folder {above} is laid out as {kind}: name that one"
    return ""


def shown_by(root: Location) -> str | None:
    """The layout that a folder shows, MVTec AD's where one in it is laid out as a category; or None."""
    tree = Tree(root)
    layout = recognise(tree)
    if layout is not None:
        return layout.kind
    has_category = any(MVTEC.is_category(tree, folder) for folder in tree.listing().folders[:_MANY])
    return MVTEC.kind if has_category else None
