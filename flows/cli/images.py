"""Commands for new images, and for networks."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import (
    StoreOption,
)
from flows.cli.running import configure_prefect, errors
from storage.store.store import DEFAULT_STORE


def score(
    images: Annotated[list[str], typer.Argument(help="Image files, or folders of them.")],
    run: Annotated[str, typer.Option(help="The finished run to score by: its id, or latest.")] = "latest",
    category: Annotated[
        str | None,
        typer.Option(help="Whose normal images to compare with; needed where the run has several."),
    ] = None,
    fpr: Annotated[
        float, typer.Option(help="False-positive rate of the threshold, on normal images.")
    ] = 0.01,
    rule: Annotated[
        str, typer.Option(help="embedding or map: the score that gives the verdict.")
    ] = "embedding",
    output: Annotated[
        str | None, typer.Option(help="Folder for a heat map and a mask of each image, at its size.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="File of the run's weights, if it was moved since.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    store: StoreOption = DEFAULT_STORE,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for machines.")] = False,
) -> None:
    """Score new images by a finished run: scores, verdict, neighbours; with --output also pictures."""
    with errors():
        from flows.cli.screen.images import print_scores
        from flows.cli.screen.progress import progress_display

        configure_prefect(verbose=False)
        with progress_display(enabled=True):
            from tasks.new_images.files import find_images, score_files
            from tasks.new_images.scorer import Scorer

            find_images(images)  # before the seconds that calibration may take
            scorer = Scorer(
                store,
                run,
                category,
                fpr=fpr,
                rule=rule,  # type: ignore[arg-type]  # checked by Scorer
                weights=weights,
                device=device,
            )
            rows = list(score_files(scorer, images, output))
        print_scores(scorer.describe(), rows, json=json)
    if not any("score_map" in row for row in rows):
        raise typer.Exit(1)


def backbones(
    filter: Annotated[str, typer.Option(help="Only names that contain this.")] = "",
) -> None:
    """List the networks whose weights are on this machine, and say how to use the others."""
    with errors():
        from flows.cli.screen.backbones import print_backbones
        from tasks.backbones import find_backbones

        print_backbones(*find_backbones(filter))
