"""What a run leaves on the page of its Prefect run."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact

from storage.results.metrics import COMPARED
from storage.results.reader import Results
from storage.store.tables import read_table
from tasks.compare.runs import markdown
from tasks.job import Job
from tasks.markdown import escaped
from tasks.progress import LOGGER


def publish_markdown(key: str, document: str) -> None:
    """Keep a Markdown document under this key; a server that takes none costs no run."""
    try:
        create_markdown_artifact(document, key=key)
    except Exception as error:  # the tables are published: a page about them may be missing
        LOGGER.warning("the artifact %s could not be kept: %s", key, error)


def publish_summary(job: Job) -> None:
    """Keep the summary and the comparison of a published run, and where its tables are."""
    store = job.open_store()
    results = Results(store.root)
    lines = [
        f"# Run {escaped(job.run_id)}",
        "",
        f"| category | method | {' | '.join(each.title for each in COMPARED)} | reason |",
    ]
    lines.append("| --- " * (len(COMPARED) + 3) + "|")
    for row in results.rows("categories", job.run_id):
        values = ["" if row[each.name] is None else f"{row[each.name]:.4f}" for each in COMPARED]
        names = " | ".join(escaped(row[name]) for name in ("category", "method"))
        lines.append(f"| {names} | {' | '.join(values)} | {escaped(row['reason'] or '')} |")
    lines += ["", f"Tables: {escaped(str(results.folder(job.run_id)))}", ""]
    lines += [f"Pages: `spade report {job.run_id}` writes {escaped(str(store.report(job.run_id)))}"]
    publish_markdown("summary", "\n".join(lines) + "\n")
    comparisons = read_table(store.run_table(job.run_id, "comparisons"))
    publish_markdown("comparison", markdown(comparisons, job.run_id))
