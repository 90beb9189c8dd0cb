"""Nearest normal images of a test image (paper, section 3.1)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray


def build_index(
    embeddings: NDArray[np.float32], kind: Literal["flat", "hnsw", "ivf"] = "flat"
) -> faiss.Index:
    """An index over embeddings (N, D).

    "flat" compares with every row, exactly. "hnsw" (Malkov and Yashunin 2016) follows 32 links a
    row; "ivf" (Jegou et al. 2011) visits an eighth of about 4 sqrt(N) clusters. Both may miss a neighbour.
    """
    rows, width = embeddings.shape
    index: Any
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(width, 32)
        index.hnsw.efConstruction = 200
    elif kind == "ivf":
        clusters = max(1, min(rows // 39, round(4 * math.sqrt(rows))))  # faiss wants 39 rows a cluster
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, clusters)
        index.nprobe = math.ceil(clusters / 8)
        index.train(np.ascontiguousarray(embeddings))
    else:
        index = faiss.IndexFlatL2(width)
    index.add(np.ascontiguousarray(embeddings))
    if kind == "ivf":
        index.make_direct_map()  # rows are asked for by position
    built: faiss.Index = index
    return built


def recall(index: faiss.Index, embeddings: NDArray[np.float32], k: int, sample: int = 200) -> float:
    """Share of the k nearest rows that an index finds, over a seeded sample of its rows as queries."""
    chosen = np.random.default_rng(0).permutation(len(embeddings))[:sample]
    found, exact = (nearest(each, embeddings[chosen], k)[1] for each in (index, build_index(embeddings)))
    return float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(found, exact, strict=True)]))


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
    positions = _search(index, np.ascontiguousarray(queries), k)
    positions.sort(axis=1)
    rows = index.reconstruct_batch(positions.ravel()).reshape(*positions.shape, -1)
    squared = ((rows.astype(np.float64) - queries[:, None].astype(np.float64)) ** 2).sum(axis=2)
    order = np.argsort(squared, axis=1, kind="stable")
    return np.take_along_axis(squared, order, axis=1), np.take_along_axis(positions, order, axis=1)


def _search(index: faiss.Index, queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Positions (Q, k); an index that is not exact looks further where it finds fewer than k."""
    if isinstance(index, faiss.IndexHNSW):
        index.hnsw.efSearch = max(256, 4 * k)
    positions: NDArray[np.int64] = index.search(queries, k)[1]
    short = (positions < 0).any(axis=1)
    if short.any():
        rows = index.reconstruct_n(0, index.ntotal)
        _, positions[short] = build_index(rows).search(queries[short], k)
    return positions


def random_order(keys: Sequence[str], query: str, seed: int) -> list[int]:
    """Positions of all training images `keys`, in an order drawn for the test image with the key `query`.

    Its first k are the random gallery of k images, as in the paper's ablation. The order is that of digests:
    the same on every machine, and new training images leave the others in their order.
    """

    def drawn(position: int) -> bytes:
        return hashlib.sha256(f"{seed} {query} {keys[position]}".encode()).digest()

    return sorted(range(len(keys)), key=drawn)


def embedding_score(squared_distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Image scores (Q,): the mean of the K squared distances (Q, K) (equation 2)."""
    return np.asarray(squared_distances.mean(axis=1))
