from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import typer.main
from tiny import write_category, write_image
from typer.testing import CliRunner

from flows.cli.app import app
from storage.results.schemas import CATEGORIES, IMAGES
from storage.store.store import Store
from storage.store.tables import read_table, table_bytes, table_of
from tasks.job import Request
from tasks.methods import presets
from tasks.methods.presets import Preset
from tasks.run.plan import Plan


def spade(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command, run in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, resnet18_weights: Path) -> Path:
    """A store with a run of the command as a user starts it: its own process, its own Prefect server."""
    folder = tmp_path_factory.mktemp("cli")
    write_category(folder / "tiny", "007")
    write_category(folder / "tiny", "nut", seed=1)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    environment["PREFECT_HOME"] = str(folder / "prefect")
    done = subprocess.run(
        [
            sys.executable, "-m", "flows.cli.app", "evaluate", folder / "tiny", "--store", folder / "store",
            "--backbone", "resnet18", "--weights", resnet18_weights, "--k-gallery", "2", "--run-id", "one",
        ],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "screen.txt").write_text(done.stdout)
    assert done.stderr == ""
    return folder / "store"


def test_a_run_ends_with_its_table_and_nothing_else(store: Path) -> None:
    screen = (store.parent / "screen.txt").read_text()
    assert "Prefect" not in screen
    assert "INFO" not in screen
    for text in (
        "007",
        "nut",
        "average",
        "pixel ROCAUC",
        "PRO",
        "extract",
        "whole run",
        "run one: tables in",
    ):
        assert text in screen
    assert len(screen.splitlines()) == 12


@pytest.mark.parametrize("table", ["categories", "summary", "images", "neighbors", "comparisons", "runs"])
def test_every_table_can_be_read_as_text_csv_and_json(store: Path, table: str) -> None:
    code, text, _ = spade("results", "--store", store, "--table", table)
    assert code == 0
    assert "┃" in text
    code, text, _ = spade("results", "--store", store, "--table", table, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    code, text, _ = spade("results", "--store", store, "--table", table, "--format", "json")
    objects = json.loads(text)
    assert len(rows) == len(objects) > 0
    assert list(rows[0]) == list(objects[0])
    assert objects[0]["run"] == "one"
    if "category" in objects[0]:
        assert objects[0]["category"] == "007"


def test_a_run_is_compared_with_itself_and_with_none(store: Path) -> None:
    code, text, _ = spade("compare", "one", "one", "--store", store)
    assert code == 0
    assert text.count("same") == 8
    code, text, _ = spade("compare", "--store", store, "--format", "json")
    rows = json.loads(text)
    assert code == 0
    assert {(row["run"], row["verdict"]) for row in rows} == {("one", "new")}
    code, _, error = spade("compare", "two", "--store", store)
    assert (code, "no finished run 'two'" in error) == (2, True)


def test_a_run_that_is_worse_ends_with_exit_code_1(store: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    shutil.copytree(copy / "runs" / "one", copy / "runs" / "two")
    path = copy / "runs" / "two" / "images.parquet"
    rows = read_table(path).to_pylist()
    for row in rows:
        row["score_map"] = -1.0 if row["anomalous"] else row["score_map"]
    path.write_bytes(table_bytes(table_of(rows, IMAGES)))
    path = copy / "runs" / "two" / "categories.parquet"
    rows = read_table(path).to_pylist()
    for row in rows:
        row |= {"image_rocauc_map": 0.0, "score_key": "other"}
    path.write_bytes(table_bytes(table_of(rows, CATEGORIES)))
    code, text, _ = spade("compare", "two", "one", "--store", copy, "--format", "json")
    found = {(row["metric"], row["verdict"]) for row in json.loads(text)}
    assert code == 1
    assert found == {
        ("image_rocauc_embedding", "same"),
        ("image_rocauc_map", "worse"),
        ("pixel_rocauc", "not comparable"),
        ("pro", "not comparable"),
    }
    code, text, _ = spade("compare", "two", "one", "--store", copy, "--tolerance", "1")
    assert (code, "worse" in text) == (0, False)


def test_reading_results_imports_no_framework(store: Path) -> None:
    program = (
        "import sys; from flows.cli.app import app\n"
        f"try: app(['results', '--store', {str(store)!r}])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'prefect', 'timm', 'zarr'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    program = program.replace("'results'", "'compare', 'one', 'one'")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['zarr']"


def test_a_report_is_written_and_opened(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = tmp_path / "pages" / "index.html"
    code, out, _ = spade("report", "one", "--store", store, "--output", page.parent, "--open")
    assert (code, out, opened) == (0, f"report: {page}\n", [page.as_uri()])
    assert page.is_file()
    code, _, error = spade("report", "two", "--store", store)
    assert (code, "no finished run 'two'" in error) == (2, True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("")
    code, _, error = spade("report", "--store", store, "--output", tmp_path / "mine")
    assert (code, "holds other files and no report" in error) == (2, True)


def test_an_unknown_run_and_a_missing_store_are_named(store: Path, tmp_path: Path) -> None:
    code, _, error = spade("results", "--store", store, "--run", "two")
    assert (code, "no finished run 'two'" in error, "it has one" in error) == (2, True, True)
    code, _, error = spade("results", "--store", tmp_path / "nowhere")
    assert (code, "no store at" in error) == (2, True)


@pytest.mark.parametrize("command", ["evaluate", "plan", "sweep"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gallery", "farthest"], "gallery is 'farthest': did you mean nearest"),
        (["--backbone", "resnet51"], "backbone is 'resnet51': did you mean resnet51q, resnet50"),
        (["--k-gallery", "0"], "k_gallery is 0"),
        (["--kappa", "0"], "kappa is 0"),
        (["--sigma", "-2"], "sigma is -2.0"),
        (["--fusion", "mean"], "fusion is 'mean'"),
    ],
)
def test_a_wrong_option_is_one_line_before_anything_is_computed(
    command: str, arguments: list[str], message: str, tmp_path: Path
) -> None:
    assert_one_line_of_error(command, arguments, message, tmp_path)


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("evaluate", ["--level", "7"], "level is 7: wide_resnet50_2 has 4, 8, 16"),
        ("plan", ["--level", "7"], "level is 7: wide_resnet50_2 has 4, 8, 16"),
        ("sweep", ["--levels", "4,7"], "level is 7: wide_resnet50_2 has 4, 8, 16"),
        ("sweep", ["--levels", "4 8"], "levels is '4 8': name strides with commas between them, as 4,8,16"),
        ("sweep", ["--k", "1", "--k-image", "2"], "k is k_image and k_gallery together"),
        (
            "sweep",
            ["--kappa", "1", "--kappa", "200", "--levels", "16"],
            "levels (16,), kappa 200)",
        ),
    ],
)
def test_a_wrong_level_or_grid_is_one_line_before_anything_is_loaded(
    command: str, arguments: list[str], message: str, tmp_path: Path
) -> None:
    assert_one_line_of_error(command, arguments, message, tmp_path)


def assert_one_line_of_error(command: str, arguments: list[str], message: str, tmp_path: Path) -> None:
    code, out, error = spade(command, tmp_path, "--store", tmp_path / "store", *arguments)
    assert code == 2
    assert out == ""
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "store").exists()


@pytest.mark.usefixtures("prefect_server")
def test_a_sweep_is_shown_as_a_row_a_point(store: Path, resnet18_weights: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(store, tmp_path / "store"))
    options = ["--store", copy, "--backbone", "resnet18", "--weights", resnet18_weights, "--run-id", "grid"]
    axes = ["--k", 1, "--k", 2, "--levels", "8,16", "--levels", "16"]
    code, out, _ = spade("sweep", store.parent / "tiny", *options, *axes)
    assert code == 0
    rows = [line.replace("│", " ").split()[:3] for line in out.splitlines()]
    assert rows[3:7] == [["8,16", "1", "1"], ["8,16", "2", "2"], ["16", "1", "1"], ["16", "2", "2"]]
    assert "fusion" not in out
    code, out, _ = spade("sweep", store.parent / "tiny", *options, *axes, "--format", "csv")
    points = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [(row["run"], row["levels"], row["k_image"], row["fusion"]) for row in points] == [
        (f"grid-{number}", levels, k, "concatenate")
        for number, (levels, k) in enumerate(product(("8,16", "16"), "12"), start=1)
    ]
    code, out, _ = spade("results", "--store", copy, "--table", "sweep", "--format", "json")
    rows = json.loads(out)
    assert code == 0
    assert [row["category"] for row in rows] == ["007", "nut"] * 4
    mean = (rows[0]["pixel_rocauc"] + rows[1]["pixel_rocauc"]) / 2
    assert float(points[0]["pixel_rocauc"]) == pytest.approx(mean)


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("command", ["evaluate", "plan", "sweep"])
@pytest.mark.parametrize(
    ("root", "options", "message"),
    [
        ("nowhere", [], "no dataset at"),
        ("data", ["--category", "nutt"], "no category 'nutt' under .*: did you mean nut"),
        ("data/nut", [], "is one category: name its parent folder"),
        ("data", ["--weights", "absent.pth"], "weights is 'absent.pth': no such file"),
        ("data", ["--store", "/dev/null/store"], "store"),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    command: str, root: str, options: list[str], message: str, tmp_path: Path
) -> None:
    import re

    write_category(tmp_path / "data", "nut", train=1, normal=1, anomalous=1)
    code, _, error = spade(
        command,
        tmp_path / root,
        "--backbone",
        "tf_efficientnet_lite0",
        "--store",
        tmp_path / "store",
        *options,
    )
    last = error.splitlines()[-1]
    assert code == 2
    assert last.startswith("error: ")
    assert re.search(message, last)


def test_a_preset_gives_the_settings_and_methods_that_are_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_category(tmp_path / "tiny", "nut")
    asked: list[Request] = []

    def plan(request: Request) -> Plan:
        asked.append(request)
        return Plan((), "cpu")

    monkeypatch.setattr("tasks.run.plan.plan", plan)
    given = Preset({"kappa": 3, "sigma": 2.0}, ("dn2", "spade"))
    monkeypatch.setattr(presets, "PRESETS", {"paper": Preset(), "best": given})
    options = [
        "plan",
        tmp_path / "tiny",
        "--store",
        tmp_path / "store",
        "--backbone",
        "tf_efficientnet_lite0",
    ]
    for more in (["--preset", "best"], ["--preset", "best", "--sigma", "4", "--method", "padim"], []):
        assert spade(*options, *more)[0] == 0
    found = [(each.configuration.kappa, each.configuration.sigma, each.methods) for each in asked]
    assert found == [(3, 2.0, ("dn2", "spade")), (3, 4.0, ("padim",)), (1, 4.0, ("spade",))]
    code, _, error = spade(*options, "--preset", "bset")
    assert (code, "preset is 'bset': it is one of best" in error) == (2, True)


def test_plan_takes_what_evaluate_takes_but_for_the_run() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group
    options = {
        name: [(parameter.opts, parameter.default, parameter.help) for parameter in commands[name].params]
        for name in ("evaluate", "plan")
    }
    only = [option for option in options["evaluate"] if option not in options["plan"]]
    assert only == [
        (["--memory"], 2.0, "GiB of features kept in memory while scoring."),
        (["--run-id"], None, "Name of the run; the same name continues an interrupted run."),
        (["--verbose", "-v"], False, "Show Prefect's log."),
    ]
    assert len(options["plan"]) == len(options["evaluate"]) - 3


def test_plan_needs_no_server_and_writes_nothing(store: Path, resnet18_weights: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "flows.cli.app", "plan"),
            store.parent / "tiny", "--store", tmp_path / "store",
            "--backbone", "resnet18", "--weights", resnet18_weights, "--k-gallery", "2",
        ],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.replace("│", " ").split() for line in done.stdout.splitlines()]
    assert ["007", "9", "9", "5"] in [row[:4] for row in rows]
    assert ["total", "18", "18", "10"] in [row[:4] for row in rows]
    assert "minutes of computing on" in done.stdout
    assert not (tmp_path / "store").exists()
    assert list(tmp_path.rglob("*.db")) == []


def test_after_the_run_the_plan_is_empty(store: Path, resnet18_weights: Path) -> None:
    def plan(gallery: int) -> tuple[int, str, str]:
        backbone = ("--backbone", "resnet18", "--weights", resnet18_weights)
        return spade("plan", store.parent / "tiny", "--store", store, *backbone, "--k-gallery", gallery)

    code, out, _ = plan(2)
    assert code == 0
    assert "nothing to extract, nothing to score" in out
    code, out, _ = plan(1)
    total = next(line for line in out.splitlines() if "total" in line)
    assert (code, total.replace("│", " ").split()[:4]) == (0, ["total", "18", "0", "10"])


def test_inspect_shows_counts_and_what_is_wrong(tmp_path: Path) -> None:
    write_category(tmp_path / "data", "nut")
    (tmp_path / "data" / "nut" / "test" / "square" / "000.png").write_bytes(b"")
    (tmp_path / "data" / "nut" / "ground_truth" / "square" / "001_mask.png").unlink()
    write_image(
        tmp_path / "data" / "bare" / "test" / "good" / "0.png", __import__("numpy").zeros((5, 5), "uint8")
    )
    code, out, _ = spade("inspect", tmp_path / "data", "--store", tmp_path / "store")
    assert code == 0
    assert "good 2, square 2" in out
    assert "49x40 RGB (8)" in out
    assert "no usable training image" in out
    assert "set aside in nut: 1 file: nut/test/square/000.png: unreadable: the file is empty" in out
    assert "without mask in nut: 1 file: nut/test/square/001.png: no mask" in out
    assert not (tmp_path / "store").exists()


def test_a_registered_name_is_that_dataset(
    store: Path, tmp_path: Path, resnet18_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = tmp_path / "datasets.toml"
    registry.write_text(
        f"""
        [datasets.parts]
        root = {str(store.parent / "tiny")!r}
        categories = ["nut"]
        layout = {{ kind = "folders", normal = ["{{category}}/train/good/*"], train_number = 3 }}
        """
    )
    code, out, _ = spade("inspect", "parts", "--registry", registry, "--store", tmp_path / "store")
    assert code == 0
    assert "good 1" in out
    assert "007" not in out
    monkeypatch.setenv("SPADE_REGISTRY", str(registry))
    code, out, _ = spade(
        "plan", "parts", "--backbone", "resnet18", "--weights", resnet18_weights, "--store", store
    )
    assert code == 0
    rows = [line.replace("│", " ").split()[:4] for line in out.splitlines()]
    assert ["nut", "4", "0", "1"] in rows
    code, _, error = spade("inspect", "part")
    assert (code, "'part' is no folder, and no dataset in" in error) == (2, True)


def test_repair_names_what_it_drops(store: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    code, out, _ = spade("repair", "--store", copy)
    assert (code, out) == (0, "all whole\n")
    path = Store.open(copy).indices()[0]
    path.write_bytes(path.read_bytes()[:-1])
    code, out, _ = spade("repair", "--store", copy)
    assert code == 0
    assert f"dropped index {path}: its SHA-256 is not the one recorded" in out
    assert not path.exists()
