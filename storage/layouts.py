"""Where a dataset keeps its images, labels and masks: its layout."""

from __future__ import annotations

from storage.layouts_folders import Folders
from storage.layouts_frames import Frames
from storage.layouts_mvtec import Mvtec

Layout = Mvtec | Folders | Frames
LAYOUTS: dict[str, type[Layout]] = {layout.kind: layout for layout in (Mvtec, Folders, Frames)}
MVTEC = Mvtec()
