"""The faiss index of a category's training images."""

from __future__ import annotations

import time
from collections.abc import Mapping

from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.features import Features
from storage.indices import gallery_digest, has_index, write_index
from tasks.core.retrieval import build_index
from tasks.job import Job, Stage


@task(cache_policy=NO_CACHE)
def index(job: Job, category: str, excluded: Mapping[str, str]) -> Stage:
    """Build the index over the embeddings of the training images, unless these very rows have one."""
    start = time.perf_counter()
    store = job.open_store()
    train = job.manifest().of(category).exclude(dict(excluded)).train()
    keys = [entry.key for entry in train]
    gallery = gallery_digest(keys)
    known = has_index(store, job.feature_key, gallery)
    if not known:
        embeddings = Features(store, job.feature_key).embeddings(keys)
        write_index(store, job.feature_key, gallery, build_index(embeddings))
    return Stage("index", category, time.perf_counter() - start, 0 if known else len(keys), len(keys))
