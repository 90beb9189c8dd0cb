"""Commands for new images, and for networks."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from flows.cli.options import DEFAULT_STORE, MethodOption, Run, StoreOption
from flows.cli.running import importing


def score(
    images: Annotated[list[str], Parameter(help="Image files, or folders of them.")],
    /,
    *,
    run: Run = "latest",
    category: Annotated[
        str | None,
        Parameter(help="Whose normal images to compare with; needed where the run has several."),
    ] = None,
    method: MethodOption = None,
    fpr: Annotated[
        float | None,
        Parameter(
            help="False-positive rate of the threshold, on normal images. Default: the run's, or 0.01."
        ),
    ] = None,
    rule: Annotated[str, Parameter(help="embedding or map: the score that gives the verdict.")] = "embedding",
    output: Annotated[
        str | None, Parameter(help="Folder for a heat map and a mask of each image, at its size.")
    ] = None,
    weights: Annotated[
        str | None, Parameter(help="File of the run's weights, if it was moved since.")
    ] = None,
    device: Annotated[str, Parameter(help="cpu, cuda, ...")] = "cpu",
    store: StoreOption = DEFAULT_STORE,
    json: Annotated[bool, Parameter(help="One JSON document on stdout, for machines.")] = False,
) -> int:
    """Score new images by a finished run: scores, verdict, neighbours; with --output also pictures.

    Exit code 1 if none of them could be scored.
    """
    from flows.cli.screen.images import print_scores
    from flows.cli.screen.progress import progress_display

    with progress_display(enabled=True):
        with importing():
            from tasks.new_images.files import find_images, score_files
            from tasks.new_images.scorer import Scorer

        find_images(images)  # before the seconds that calibration may take
        scorer = Scorer(
            store,
            run,
            category,
            method=method,
            fpr=fpr,
            rule=rule,  # type: ignore[arg-type]  # checked by Scorer
            weights=weights,
            device=device,
        )
        rows = list(score_files(scorer, images, output))
    print_scores(scorer.describe(), rows, json=json)
    return int(all("score_embedding" not in row for row in rows))


def backbones(*, filter: Annotated[str, Parameter(help="Only names that contain this.")] = "") -> None:
    """List the networks whose weights are on this machine, and say how to use the others."""
    from flows.cli.screen.images import print_backbones
    from tasks.backbones import find_backbones

    print_backbones(*find_backbones(filter))
