"""Tiny runs, with what a test changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
from tiny import write_category

from tasks.core.config import Configuration
from tasks.core.methods.registry import METHODS, parse_method

SPADE = "spade(k_image=3, k_gallery=2)"
PADIM = "padim(levels=(8, 16), dimensions=5)"
PATCHCORE = "patchcore(levels=(16,), dimension=16, projection=8)"
SMALL = {  # of each method the settings that are tried; one that is not here is tried as it is
    "spade": (
        SPADE,
        "spade(gallery='random', k_image=3, k_gallery=2)",
        "spade(fusion='average', k_gallery=2)",
    ),
    "rad": ("rad(k_gallery=2)",),
    "anomalydino": ("anomalydino(average=3, image_rule='map')",),
    "nearest_neighbor": ("nearest_neighbor(limit=300)",),
    "one_class_svm": ("one_class_svm(limit=100)",),
    "padim": (PADIM,),
    "patchcore": (PATCHCORE,),
    "ensemble": (
        f"ensemble(methods=('dn2', '{SPADE}'))",
        f"ensemble(methods=('{PADIM}', '{PATCHCORE}'), rule='ranks')",
        f"ensemble(methods=('dn2', '{PADIM}'))",
    ),
}
LABELS = [parse_method(text).label for name in METHODS for text in SMALL.get(name, (name,))]


class Evaluate(Protocol):
    """Evaluates a dataset with a tiny network; the id of the run."""

    def __call__(
        self,
        root: Path,
        store: Path,
        run_id: str | None = None,
        *,
        methods: Sequence[str] = (SPADE,),
        categories: Sequence[str] = (),
        **settings: Any,
    ) -> str: ...


@pytest.fixture(scope="session")
def run(prefect_server: None, settings: Callable[..., Configuration]) -> Evaluate:  # noqa: ARG001 (it runs)
    """What makes a run of a dataset."""
    from flows.evaluate import evaluate

    def make(
        root: Path,
        store: Path,
        run_id: str | None = None,
        *,
        methods: Sequence[str] = (SPADE,),
        categories: Sequence[str] = (),
        **changes: Any,
    ) -> str:
        configuration = settings(**changes)
        return evaluate(str(root), str(store), configuration, categories, run_id, methods=methods)

    return make


@pytest.fixture(scope="session")
def killed(run: Evaluate) -> Callable[..., None]:
    """What makes a run that died before its tables were written, and whose record is published since."""
    from storage.results.runs import publish_interrupted
    from storage.store.store import Store

    def die(*_: object) -> None:
        raise RuntimeError("killed")

    def make(root: Path, store: Path, run_id: str, **more: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("flows.evaluate.publish", die)
            with pytest.raises(RuntimeError, match="killed"):
                run(root, store, run_id, **more)
        assert publish_interrupted(Store.open(str(store)), run_id) == [run_id]

    return make


@pytest.fixture(scope="session")
def every_method(
    run: Evaluate, killed: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A store with two runs of all methods, and between them one that died.

    A category is as it should be, one has normal test images alone, and one has no training image.
    """
    from flows.evaluate import IncompleteRunError

    folder = tmp_path_factory.mktemp("methods")
    root, store = folder / "tiny", folder / "store"
    write_category(root, "nut", train=6)
    write_category(root, "bolt", train=4, normal=3, anomalous=0, seed=1)
    write_category(root, "gone", train=1, normal=1, anomalous=1)
    shutil.rmtree(root / "gone" / "train")
    for run_id in ("first", "second"):
        with pytest.raises(IncompleteRunError, match="gone: no usable training image"):
            run(root, store, run_id, methods=LABELS, fpr=0.25)
        if run_id == "first":
            killed(root, store, "died", methods=LABELS, fpr=0.25)
    return store
