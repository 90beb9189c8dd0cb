"""Seconds of a peer's PatchCore on one category; run by an interpreter that has anomalib: `bench.py` does.

    python tests/benchmarks/peer.py ROOT CATEGORY RATIO

ROOT holds categories as MVTec AD does; RATIO is the coreset's share of the patches. Random weights, no
pictures, no records. Prints its version, and the seconds of fitting and of testing, as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from importlib.metadata import version


def main(root: str, category: str, ratio: float) -> None:
    """Fit and test once."""
    from anomalib.data import MVTecAD
    from anomalib.engine import Engine
    from anomalib.models import Patchcore

    with tempfile.TemporaryDirectory() as folder:
        data = MVTecAD(root, category, num_workers=0)
        model = Patchcore(pre_trained=False, coreset_sampling_ratio=ratio, visualizer=False)
        engine = Engine(default_root_dir=folder, logger=False, accelerator="cpu", enable_progress_bar=False)
        start = time.perf_counter()
        engine.fit(model, datamodule=data)
        fitted = time.perf_counter()
        engine.test(model, datamodule=data, verbose=False)
        ended = time.perf_counter()
    found = {"version": version("anomalib"), "fit": fitted - start, "test": ended - fitted}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
