"""Seconds until commands that have little to do are done: wall and processor, the least of several runs.

On a machine that does other work, the processor's seconds and ratios within one call say more than the wall.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from tiny import write_category

RUNS = 5
SPADE = [sys.executable, "-m", "flows.cli.app"]


def measure(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall and processor seconds of a command and of the processes that it waited for."""
    start = time.perf_counter()
    process = subprocess.Popen([*SPADE, *arguments], stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"spade {' '.join(arguments)} failed")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print a line a command; the run and the features that they find are made before."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_category(folder / "tiny", "nut")
        path = folder / "new.png"
        image = Image.open(folder / "tiny" / "nut" / "test" / "good" / "000.png").convert("RGB")
        image.transpose(Image.Transpose.ROTATE_180).save(path)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT")}
        environment |= {"PREFECT_HOME": str(folder / "prefect"), "SPADE_STORE": str(folder / "store")}
        evaluate = ["evaluate", str(folder / "tiny"), "--backbone", "tf_efficientnet_lite0"]
        commands = {
            "a run with nothing to do": evaluate,
            "score of a new image": ["score", str(path), "--fpr", "0.3"],
            "results": ["results"],
            "help": ["--help"],
        }
        for arguments in commands.values():
            measure(arguments, environment)
        for title, arguments in commands.items():
            wall, cpu = (
                min(values)
                for values in zip(*(measure(arguments, environment) for _ in range(RUNS)), strict=True)
            )
            print(f"{title:<26} {wall:6.2f} s, processor {cpu:6.2f} s", flush=True)


if __name__ == "__main__":
    main()
