"""The faiss index of a category's training images."""

from __future__ import annotations

import time

from storage.computed.indices import gallery_digest, has_index, write_index
from tasks.core.matching.retrieval import build_index
from tasks.job import Part, Stage
from tasks.step import step


@step
def index(part: Part) -> Stage:
    """Build the index over the embeddings of the training images, unless these very rows have one."""
    start = time.perf_counter()
    built, count = build(part), len(part.train)
    return Stage("index", part.category, time.perf_counter() - start, count if built else 0, count)


def build(part: Part) -> bool:
    """Build the index of a category's training images; False if there is one already."""
    gallery = gallery_digest(part.train)
    if has_index(part.store, part.job.feature_key, gallery):
        return False
    embeddings = part.features.embeddings(part.train)
    write_index(part.store, part.job.feature_key, gallery, build_index(embeddings))
    return True
