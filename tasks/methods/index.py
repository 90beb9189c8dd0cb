"""The faiss index of a category's training images."""

from __future__ import annotations

import time
from collections.abc import Mapping

from storage.computed.features import Features
from storage.computed.indices import has_index, index_name, write_index
from storage.datasets.dataset import Manifest
from tasks.core.matching.retrieval import build_index, recall
from tasks.job import Job, Stage
from tasks.step import step


@step
def index(job: Job, category: str, excluded: Mapping[str, str]) -> Stage:
    """Build the index over the embeddings of the training images, unless these very rows have one."""
    start = time.perf_counter()
    manifest = job.manifest().of(category).exclude(dict(excluded))
    known = not build(job, manifest)
    count = len(manifest.train())
    return Stage("index", category, time.perf_counter() - start, 0 if known else count, count)


def build(job: Job, manifest: Manifest) -> bool:
    """Build the index of a category's training images; False if there is one already."""
    store, settings = job.open_store(), job.configuration
    keys = [entry.key for entry in manifest.train()]
    kind = settings.index_for(len(keys))
    gallery = index_name(keys, kind)
    if has_index(store, job.feature_key, gallery):
        return False
    embeddings = Features(store, job.feature_key).embeddings(keys)
    built = build_index(embeddings, kind)
    k = min(max(settings.k_image, settings.k_gallery), len(keys))
    found = 1.0 if kind == "flat" else recall(built, embeddings, k)
    write_index(store, job.feature_key, gallery, built, found)
    return True
