"""Which configuration is best, chosen on some categories and reported on the others.

    python tests/benchmarks/presets.py STORE RUN ...

Candidates are the methods of the runs named, by either image rule; runs of one protocol and settings make one
candidate over their categories. Each category in turn is held out: the candidate with the best mean of image
ROCAUC, pixel ROCAUC and PRO over the others is chosen, and its metrics on the one held out are shown beside
PatchCore's with a coreset of 10 %.
"""

from __future__ import annotations

import sys

import pandas as pd

from storage.results.reader import Results

METRICS = ("image", "pixel", "pro")
BASELINE = "patchcore, embedding"


def candidates(results: Results, runs: list[str]) -> pd.DataFrame:
    """Metrics by candidate (index: protocol, method with rule) and category (columns: metric, category)."""
    protocols = results.runs().set_index("run")["protocol"]
    rows = [
        {
            "protocol": protocols[run],
            "candidate": f"{row['method']}, {rule}",
            "category": row["category"],
            "image": float(row[f"image_rocauc_{rule}"]),
            "pixel": float(row["pixel_rocauc"]),
            "pro": float(row["pro"]),
        }
        for run in runs
        for row in results.categories(run).query("pixel_rocauc.notna()").to_dict("records")
        for rule in ("embedding", "map")
    ]
    frame = pd.DataFrame(rows).set_index(["protocol", "candidate", "category"])
    return frame[~frame.index.duplicated()].unstack("category").dropna()


def held_out(table: pd.DataFrame) -> pd.DataFrame:
    """One row a category: what is chosen without it, its metrics there, and the baseline's."""
    rows = {}
    for category in table.columns.unique("category"):
        others = table.drop(columns=category, level="category")
        protocol, chosen = others.T.groupby("metric").mean().mean().idxmax()
        found, baseline = table.loc[(protocol, chosen)], table.loc[("paper", BASELINE)]
        rows[category] = {"chosen": f"{protocol}, {chosen}"} | {
            f"{name}{suffix}": values[name, category]
            for suffix, values in (("", found), (" of patchcore", baseline))
            for name in METRICS
        }
    return pd.DataFrame(rows).T


def main(store: str, *runs: str) -> None:
    """Show the candidates by their means over all categories, and the choice without each."""
    table = candidates(Results(store), list(runs)).rename_axis(columns=["metric", "category"])
    means = table.T.groupby("metric").mean().T[list(METRICS)]
    means["mean"] = means.mean(axis=1)
    with pd.option_context("display.width", 200, "display.max_colwidth", 100, "display.precision", 4):
        print(means.sort_values("mean", ascending=False).to_string())
        chosen = held_out(table)
        print(chosen.to_string())
        print(chosen.drop(columns="chosen").astype(float).mean().to_string())


if __name__ == "__main__":
    main(*sys.argv[1:])
