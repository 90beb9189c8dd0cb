"""The faiss index of a category's training images."""

from __future__ import annotations

import time
from collections.abc import Mapping

from storage.features import Features
from storage.indices import has_index, index_name, write_index
from tasks.core.retrieval import build_index, recall
from tasks.job import Job, Stage
from tasks.step import step


@step
def index(job: Job, category: str, excluded: Mapping[str, str]) -> Stage:
    """Build the index over the embeddings of the training images, unless these very rows have one."""
    start = time.perf_counter()
    store = job.open_store()
    train = job.manifest().of(category).exclude(dict(excluded)).train()
    keys = [entry.key for entry in train]
    settings = job.configuration
    kind = settings.index_for(len(keys))
    gallery = index_name(keys, kind)
    known = has_index(store, job.feature_key, gallery)
    if not known:
        embeddings = Features(store, job.feature_key).embeddings(keys)
        built = build_index(embeddings, kind)
        k = min(max(settings.k_image, settings.k_gallery), len(keys))
        found = 1.0 if kind == "flat" else recall(built, embeddings, k)
        write_index(store, job.feature_key, gallery, built, found)
    return Stage("index", category, time.perf_counter() - start, 0 if known else len(keys), len(keys))
