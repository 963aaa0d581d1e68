#!/usr/bin/env bash
# Goes on with the run in OUT: on a new TPU VM where the old one was taken away.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
need_gcloud

now=$(first_state SUSPENDED)
now=$(settled SUSPENDED "$now")
if [ "$now" != ACTIVE ] && [[ $OUT != gs://* ]]; then
  complain "$NAME is $now, and $OUT went with it: only a run folder on gs:// outlives its VM"
fi
case $now in FAILED | SUSPENDED) "$here/delete.sh" ;; esac
"$here/create.sh"
"$here/setup.sh"
start --resume "$OUT"
