"""Where a dataset keeps its images, labels and masks: its layout."""

from __future__ import annotations

from storage.datasets.layouts.folders import Folders
from storage.datasets.layouts.frames import Frames
from storage.datasets.layouts.mvtec import Mvtec

Layout = Mvtec | Folders | Frames
LAYOUTS: dict[str, type[Layout]] = {layout.kind: layout for layout in (Mvtec, Folders, Frames)}
MVTEC = Mvtec()
