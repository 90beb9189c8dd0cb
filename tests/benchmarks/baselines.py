"""What SPADE is measured against: the same results by the plain or the usual way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score
from torchvision.models.feature_extraction import create_feature_extractor

from storage.datasets.dataset import Dataset, read_image
from storage.datasets.manifest import ImageFile
from tasks.core.config import Configuration
from tasks.core.matching.matching import Pyramid
from tasks.core.matching.pyramid import concatenate
from tasks.core.networks.preprocess import preprocess


def faiss_concatenated(
    query: Pyramid, gallery: Sequence[Pyramid], upsampling: Literal["bilinear", "nearest"]
) -> NDArray[np.float32]:
    """Squared distances (P,) by IndexFlatL2 over the concatenated vectors; building is included."""

    def vectors(pyramid: Pyramid) -> NDArray[np.float32]:
        levels = [torch.from_numpy(np.asarray(level)).float() for level in pyramid]
        return np.ascontiguousarray(concatenate(levels, upsampling).flatten(0, 1).numpy())

    rows = vectors(query)
    index = faiss.IndexFlatL2(rows.shape[1])
    for pyramid in gallery:
        index.add(vectors(pyramid))
    return np.asarray(index.search(rows, 1)[0][:, 0])


def exact_squared(
    query: Pyramid, gallery: Sequence[Pyramid], upsampling: Literal["bilinear", "nearest"], positions: Any
) -> NDArray[np.float64]:
    """Squared distances at some positions of the finest grid, in float64."""

    def vectors(pyramid: Pyramid) -> torch.Tensor:
        levels = [torch.from_numpy(np.asarray(level)).double() for level in pyramid]
        return concatenate(levels, upsampling).flatten(0, 1)

    rows = vectors(query)[positions]
    found = [
        torch.cdist(rows, vectors(pyramid), compute_mode="donot_use_mm_for_euclid_dist")
        for pyramid in gallery
    ]
    squared: NDArray[np.float64] = torch.cat(found, dim=1).amin(dim=1).square().numpy()
    return squared


def faiss_level(query: NDArray[Any], gallery: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Squared distances (P,) of one level (H, W, C) by IndexFlatL2; building is included."""
    rows = query.reshape(-1, query.shape[-1]).astype(np.float32)
    index = faiss.IndexFlatL2(rows.shape[1])
    for level in gallery:
        index.add(level.reshape(-1, level.shape[-1]).astype(np.float32))
    return np.asarray(index.search(rows, 1)[0][:, 0])


def broadcast_level(query: NDArray[Any], gallery: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Squared distances (P,) of one level by the difference of all pairs, held whole."""
    rows = torch.from_numpy(query.reshape(-1, query.shape[-1])).float()
    patches = torch.cat([torch.from_numpy(level.reshape(-1, level.shape[-1])).float() for level in gallery])
    squared: NDArray[np.float32] = (rows[:, None] - patches[None]).pow(2).sum(dim=2).amin(dim=1).numpy()
    return squared


def scikit_metrics(
    maps: NDArray[np.float32], masks: NDArray[np.bool_], thresholds: int = 200
) -> dict[str, float]:
    """ROCAUC and average precision by scikit-learn, PRO by a list of thresholds."""
    labels, scores = masks.ravel(), maps.ravel()
    regions = []
    for number, mask in enumerate(masks):
        components, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(number, components == component) for component in range(1, count + 1)]
    rates, overlaps = [0.0], [0.0]
    for threshold in np.quantile(scores, np.linspace(1, 0, thresholds)):
        above = maps >= threshold
        rates.append(float((above & ~masks).sum() / (~masks).sum()))
        overlaps.append(float(np.mean([above[number][region].mean() for number, region in regions])))
    grid = np.linspace(0, 0.3, 1001)
    return {
        "rocauc": float(roc_auc_score(labels, scores)),
        "average_precision": float(average_precision_score(labels, scores)),
        "pro": float(np.trapezoid(np.interp(grid, rates, overlaps), grid)) / 0.3,
    }


def extract_plainly(dataset: Dataset, entries: Sequence[ImageFile], weights: Path, target: Path) -> None:
    """Features of images one step after the other, batch 16, float32, saved as they are with numpy."""
    network = torchvision.models.wide_resnet50_2()
    network.load_state_dict(torch.load(weights, weights_only=True))
    nodes = {"layer1": "4", "layer2": "8", "layer3": "16", "flatten": "embedding"}
    backbone = create_feature_extractor(network.eval(), nodes)
    how = Configuration().preprocessing
    for first in range(0, len(entries), 16):
        batch = [preprocess(read_image(dataset, entry), how) for entry in entries[first : first + 16]]
        with torch.inference_mode():
            found = backbone(torch.from_numpy(np.stack(batch)))
        np.savez(target / f"{first}.npz", **{name: values.numpy() for name, values in found.items()})
