"""From a request to a job: all is checked before any image is read."""

from __future__ import annotations

import platform
import re
import secrets
from dataclasses import replace
from datetime import UTC, datetime

from storage.datasets.dataset import find_categories
from storage.store.store import Store, digest
from tasks.core.errors import ConfigurationError
from tasks.job import Job, Request
from tasks.step import step
from tasks.weights import file_sha256, weights_file


@step
def prepare(request: Request) -> Job:
    """Check all that can be checked before any image is read, settle what was left open, open the store.

    Raises:
        ConfigurationError, DatasetError, StoreError: what is wrong, and the remedy.
    """
    job = settle(request)
    Store.open(job.store, create=True).check_writable()
    return job


def settle(request: Request) -> Job:
    """The job that is asked for; its store is not looked at, and need not exist.

    Raises:
        ConfigurationError, DatasetError: what is wrong, and the remedy.
    """
    run_id, configuration = request.run_id, request.configuration
    if run_id is not None and (
        not re.fullmatch(r"[\w-][\w.-]{0,99}", run_id, re.ASCII) or run_id == "latest"
    ):
        raise ConfigurationError(
            f"run-id is {run_id!r}: use up to 100 letters, digits and _ . -, not 'latest', not first a dot"
        )
    if request.batch_size < 1:
        raise ConfigurationError(f"batch-size is {request.batch_size}: it is a whole number, 1 or more")
    if not request.memory_gib > 0:
        raise ConfigurationError(f"memory is {request.memory_gib}: it is a number of GiB above 0")
    if not request.methods:
        raise ConfigurationError("methods is empty: name at least one, as spade")
    if request.corruptions and not configuration.fpr:
        raise ConfigurationError(
            "fpr is 0: false alarms and misses of corrupted images are counted at a threshold: name a "
            "false-positive rate, as 0.05"
        )
    for method in request.methods:
        method.settled(configuration.grids)
    find_categories(request.dataset, request.categories)
    device = _device(request.device)
    _check_precision(configuration.precision, device)
    weights = weights_file(configuration.backbone, configuration.weights)
    weights_sha256 = file_sha256(weights)
    now = datetime.now(UTC)
    return Job(
        dataset=replace(request.dataset, root=str(request.dataset.folder)),
        store=str(Store.at(request.store).root),
        configuration=configuration,
        methods=request.methods,
        categories=tuple(request.categories),
        run_id=run_id or f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        weights_file=str(weights),
        weights_sha256=weights_sha256,
        feature_key=digest(configuration.feature_description(weights_sha256)),
        device=device,
        batch_size=request.batch_size,
        memory_gib=request.memory_gib,
        started=now.isoformat(),
        corruptions=request.corruptions,
    )


def has_bfloat16() -> bool:
    """Whether the processor has instructions for products of bfloat16."""
    import torch

    if platform.machine() in ("x86_64", "AMD64"):
        return torch.cpu._is_avx512_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _check_precision(precision: str, device: str) -> None:
    """Refuse what would take days: without instructions of its own for it, a CPU emulates bfloat16."""
    if precision == "bfloat16" and device == "cpu" and not has_bfloat16():
        raise ConfigurationError(
            "precision is 'bfloat16': this processor has no instructions for it, and would take a hundred "
            "times as long: use float32, or another device"
        )


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return str(torch.empty(0, device=name).device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(
            f"device is {name!r}: use auto, cpu, or one that torch has here ({str(error).splitlines()[0]})"
        ) from error
