from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

PREFECT_FILE = Path(__file__).parents[2] / "deployments" / "prefect.yaml"


@pytest.mark.usefixtures("prefect_server")
def test_the_flows_can_be_deployed_to_a_server(tmp_path: Path) -> None:
    def prefect(*arguments: str) -> None:
        environment = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        subprocess.run(command, check=True, capture_output=True, env=environment, cwd=tmp_path)

    prefect("work-pool", "create", "spade", "--type", "process")
    prefect("deploy", "--prefect-file", str(PREFECT_FILE), "--all")
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("evaluate/evaluate")
    assert deployment.entrypoint == "flows.evaluate.evaluate"
    assert deployment.parameter_openapi_schema is not None
    assert list(deployment.parameter_openapi_schema["properties"])[:3] == ["root", "store", "configuration"]
