#!/usr/bin/env bash
# Starts a new run on every worker.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
need_gcloud

new_run
start "${arguments[@]}"
