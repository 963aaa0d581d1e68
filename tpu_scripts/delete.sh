#!/usr/bin/env bash
# Deletes the TPU VM, with all that is on it, and its queued resource, without asking.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
need_gcloud

run gcloud compute tpus queued-resources delete "$NAME" "${where[@]}" --force --quiet
