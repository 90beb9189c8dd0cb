"""Where the runs of a night are handed to: an MLflow server, as a table [mlflow] of a registry says.

[mlflow]
uri = "${MLFLOW_TRACKING_URI}"  of the server; name and password are MLflow's own variables
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from storage.datasets.variables import web_address


@dataclass(frozen=True)
class Tracking:
    """An MLflow server."""

    uri: str

    def address(self) -> str:
        """The URL of the server.

        Raises:
            ValueError: a variable of it is not set, or it is no http:// or https:// url, or names a user.
        """
        address = web_address("mlflow.uri", self.uri)
        if "@" in urlsplit(address).netloc:
            raise ValueError(
                "mlflow.uri names a user: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
            )
        return address
