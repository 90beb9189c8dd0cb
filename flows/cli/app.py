"""The command `spade`. Only what a command needs is imported: reading results must not wait for torch."""

from __future__ import annotations

import typer

from flows.cli import evaluation, images, nights, results

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find anomalies in images with nearest neighbours of deep features, and evaluate it.",
)

for command in (
    evaluation.evaluate,
    evaluation.sweep,
    evaluation.reproduce,
    nights.nightly,
    nights.reprocess,
    evaluation.plan,
    evaluation.demo,
    results.results,
    images.score,
    results.export,
    nights.compare,
    results.methods,
    nights.accept,
    results.report,
    evaluation.inspect,
    images.backbones,
    results.repair,
    nights.serve,
):
    app.command()(command)

if __name__ == "__main__":
    app()
