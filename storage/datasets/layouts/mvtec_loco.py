"""The layouts of MVTec LOCO AD and AutoVI: an image has several masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from storage.datasets.layouts.by_category import WITH_VALIDATION, ByCategory
from storage.datasets.layouts.file import File, Split
from storage.datasets.layouts.masks import Mask, deeper
from storage.datasets.layouts.saturation import CONFIG, read_saturations
from storage.datasets.tree import Tree


@dataclass(frozen=True)
class MvtecLoco(ByCategory):
    """MVTec LOCO AD: an image has a mask for each of its defects.

    CATEGORY/train/good/NAME.png
    CATEGORY/validation/good/NAME.png
    CATEGORY/test/good|logical_anomalies|structural_anomalies/NAME.png
    CATEGORY/ground_truth/KIND/NAME/NUMBER.png
    CATEGORY/defects_config.json

    Of a mask every value but 0 counts, and says which of the kinds in defects_config.json the defect is of.
    """

    kind: Literal["mvtec_loco"] = "mvtec_loco"
    mask_threshold: int | None = field(default=0, kw_only=True)
    splits: ClassVar[Mapping[str, Split]] = WITH_VALIDATION
    joined: ClassVar[bool] = True

    @classmethod
    def is_category(cls, tree: Tree, folder: str) -> bool:
        """Whether there are logical or structural anomalies."""
        kinds = {"logical_anomalies", "structural_anomalies"}
        return bool(kinds & {*tree.listing(f"{folder}/test").folders})

    def masks(self, tree: Tree, category: str) -> Iterator[Mask]:
        """The masks of each image, in a folder of its name."""
        return deeper(tree, f"{category}/ground_truth")

    def _files(self, tree: Tree, category: str) -> Iterator[File]:
        try:
            saturations, reason = read_saturations(tree, category), None
        except ValueError as error:
            saturations, reason = None, str(error)
        for file in super()._files(tree, category):
            yield replace(file, saturations=saturations) if file.masks else file
        if reason is not None:
            yield File(category, "ground_truth", f"{category}/{CONFIG}", reason=reason)


@dataclass(frozen=True)
class Autovi(MvtecLoco):
    """AutoVI: as MVTec AD, but the masks of an image lie in a folder of its name.

    CATEGORY/train/good/NAME.png
    CATEGORY/test/good|DEFECT/NAME.png
    CATEGORY/ground_truth/DEFECT/NAME/0000.png
    CATEGORY/defects_config.json
    """

    kind: Literal["autovi"] = "autovi"  # type: ignore[assignment]
    splits: ClassVar[Mapping[str, Split]] = ByCategory.splits

    @classmethod
    def is_category(cls, tree: Tree, folder: str) -> bool:
        """Whether masks lie in folders, and there is no validation set."""
        truth = f"{folder}/ground_truth"
        return "validation" not in tree.listing(folder).folders and any(
            tree.listing(f"{truth}/{kind}").folders for kind in tree.listing(truth).folders
        )
