#!/usr/bin/env bash
# Copies the run folder into INTO.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
need_gcloud

run mkdir -p "$INTO"
case $OUT in
  gs://*) run gcloud storage cp --recursive "$OUT" "$INTO" ;;
  *) run gcloud compute tpus tpu-vm scp --recurse "$NAME:$OUT" "$INTO" "${where[@]}" --worker=0 ;;
esac
