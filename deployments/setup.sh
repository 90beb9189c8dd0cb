#!/bin/sh
# Makes a team's server and store ready; may be run again. Run it where the workers find this folder.
# Needs PREFECT_API_URL and SPADE_STORE, and for a bucket AWS_ENDPOINT_URL and its keys.
set -eu
cd "$(dirname "$0")/.."
: "${PREFECT_API_URL:?is the server that the deployments go to}" "${SPADE_STORE:?is a folder or s3://BUCKET/FOLDER}"
case "$SPADE_STORE" in
s3://*) python -c '
import sys
from storage.store.connection import make_bucket
make_bucket(sys.argv[1])
' "$SPADE_STORE" ;;
esac
prefect --no-prompt work-pool inspect spade >/dev/null 2>&1 || prefect --no-prompt work-pool create spade --type process
prefect --no-prompt deploy --prefect-file deployments/prefect.yaml --all
# after four missed heartbeats a run has crashed; whoever [notify] names is told
python -m flows.automations deployments/datasets.toml
