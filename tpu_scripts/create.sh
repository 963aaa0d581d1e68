#!/usr/bin/env bash
# Asks for a TPU VM by a queued resource, and waits until it is there. Run again, it waits on.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
need_gcloud

case $ACCELERATOR_TYPE in
  *7x*) complain "queued resources have no $ACCELERATOR_TYPE: use wayjax.jobset.yaml, see README.md" ;;
esac
now=$(first_state NONE)
if [ "$now" = NONE ]; then
  create=(gcloud compute tpus queued-resources create "$NAME" --node-id="$NAME" "${where[@]}"
    --accelerator-type="$ACCELERATOR_TYPE" --runtime-version="$RUNTIME_VERSION")
  if [ "$SPOT" = 1 ]; then create+=(--spot); fi
  run "${create[@]}"
  now=REQUESTED
fi
say "waiting for $NAME, perhaps for hours; Ctrl-C leaves it in the queue; to look:"
say "$(quote gcloud compute tpus queued-resources list "${where[@]}")"
now=$(settled ACTIVE "$now")
say "$NAME is $now"
[ "$now" = ACTIVE ]
