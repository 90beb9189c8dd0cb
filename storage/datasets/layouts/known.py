"""Every layout there is. A new one is a module beside this one, and a line here."""

from __future__ import annotations

from difflib import get_close_matches
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Discriminator

from storage.datasets.layouts import (
    coco,
    dagm,
    folders,
    frames,
    kolektor,
    mvtec,
    mvtec_3d,
    mvtec_ad_2,
    mvtec_loco,
    real_iad,
    table,
    visa,
)
from storage.datasets.layouts.interface import Layout
from storage.datasets.tree import Tree
from storage.errors import DatasetError

LAYOUTS: dict[str, type[Layout]] = {
    layout.kind: layout
    for layout in (
        mvtec.Mvtec,
        mvtec.Mpdd,
        mvtec.Btad,
        mvtec_ad_2.MvtecAd2,
        mvtec_loco.MvtecLoco,
        mvtec_3d.Mvtec3d,
        mvtec_loco.Autovi,
        visa.Visa,
        visa.Visa1cls,
        kolektor.KolektorSdd,
        kolektor.KolektorSdd2,
        dagm.Dagm,
        real_iad.RealIad,
        coco.Coco,
        frames.Frames,
        table.Table,
        folders.Folders,
    )
}
MVTEC = mvtec.Mvtec()

if TYPE_CHECKING:
    AnyLayout = Layout
else:
    AnyLayout = Annotated[reduce(or_, LAYOUTS.values()), Discriminator("kind")]


def layout_named(name: str) -> Layout:
    """The layout of that name with its own settings.

    Raises:
        DatasetError: there is none, or it needs settings.
    """
    if name not in LAYOUTS:
        near = get_close_matches(name, LAYOUTS) or LAYOUTS
        raise DatasetError(f"no layout {name!r}: did you mean {', '.join(near)}?")
    try:
        return LAYOUTS[name]()
    except DatasetError as error:
        raise DatasetError(f"the layout {name} needs settings ({error}): register the dataset") from error


def recognise(tree: Tree) -> Layout | None:
    """The one layout that the files below a root show, or None where none or several do."""
    found = [layout for layout in LAYOUTS.values() if layout.recognises(tree)]
    return found[0]() if len(found) == 1 else None
