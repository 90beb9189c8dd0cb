"""Nearest normal images of a test image (paper, section 3.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import faiss
import numpy as np
from numpy.typing import NDArray


def build_index(embeddings: NDArray[np.float32]) -> faiss.Index:
    """An exact index over embeddings (N, D)."""
    index = faiss.IndexFlatL2(embeddings.shape[1])
    index.add(np.ascontiguousarray(embeddings))
    return index


def nearest(
    index: faiss.Index, queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Squared distances and positions (Q, k) of the k rows nearest to queries (Q, D), nearest first.

    faiss's distances vary in their last bits with batch and threads, so they are computed anew in float64;
    equal distances are in order of position.

    Raises:
        ValueError: k is not from 1 to the number of rows, or a query is not finite.
    """
    if not 1 <= k <= index.ntotal:
        raise ValueError(f"k is {k}: the index has {index.ntotal} rows")
    if not np.isfinite(queries).all():
        raise ValueError("queries hold values that are not finite")
    positions = index.search(np.ascontiguousarray(queries), k)[1]
    positions.sort(axis=1)
    rows = index.reconstruct_batch(positions.ravel()).reshape(*positions.shape, -1)
    squared = ((rows.astype(np.float64) - queries[:, None].astype(np.float64)) ** 2).sum(axis=2)
    order = np.argsort(squared, axis=1, kind="stable")
    return np.take_along_axis(squared, order, axis=1), np.take_along_axis(positions, order, axis=1)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (N, D) at length 1; those of length 0 stay."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def random_order(keys: Sequence[str], query: str, seed: int) -> list[int]:
    """Positions of all training images `keys`, in an order drawn for the test image with the key `query`.

    Its first k are the random gallery of k images, as in the paper's ablation. The order is that of digests:
    the same on every machine, and new training images leave the others in their order.
    """

    def drawn(position: int) -> bytes:
        return hashlib.sha256(f"{seed} {query} {keys[position]}".encode()).digest()

    return sorted(range(len(keys)), key=drawn)
