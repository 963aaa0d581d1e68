# shellcheck shell=bash disable=SC2034  # its variables are used where it is sourced
# What every script here shares: the settings, each an environment variable, and a few functions.
set -euo pipefail

NAME=${NAME:-wayjax}  # of the TPU VM, its queued resource and its log
PROJECT=${PROJECT:-}  # empty: gcloud's own default
ZONE=${ZONE:-us-west4-a}
ACCELERATOR_TYPE=${ACCELERATOR_TYPE:-v5litepod-8}
case $ACCELERATOR_TYPE in
  v6e-*) image=v2-alpha-tpuv6e ;;
  v5p-*) image=v2-alpha-tpuv5 ;;
  v5litepod-*) image=v2-alpha-tpuv5-lite ;;
  *) image=tpu-ubuntu2204-base ;;
esac
RUNTIME_VERSION=${RUNTIME_VERSION:-$image}
SPOT=${SPOT:-0}  # 1: cheaper, and may be taken away at any time
REPOSITORY=${REPOSITORY:-}  # a git URL; empty: this checkout is copied
PYTHON_VERSION=${PYTHON_VERSION:-3.12}  # the images' own Python is too old
OUT=${OUT:-runs/$NAME}  # the run folder: gs://… or a path from the VM's home
RUN_ARGS=${RUN_ARGS:---dataset agnews}  # of python -m wayjax.run, quoted as in a shell
INTO=${INTO:-runs}  # the folder here that fetch.sh copies the run folder into
PYTHON=${PYTHON:-python}  # of wayjax.sbatch and wayjax.jobset.yaml
POLL=${POLL:-30}  # seconds between two looks at the queued resource
DRY_RUN=${DRY_RUN:-0}

# Talks to the user; a dry run prints nothing but commands.
say() { [ "$DRY_RUN" = 1 ] || echo "$*" >&2; }

complain() {
  echo "$*" >&2
  exit 2
}

case "$#${1:-}" in
  0) ;;
  1--dry-run) DRY_RUN=1 ;;
  *) complain "usage: ${0##*/} [--dry-run]; settings: see tpu_scripts/README.md" ;;
esac
case $SPOT in [01]) ;; *) complain "SPOT must be 0 or 1, not $SPOT" ;; esac
case $POLL in *[!0-9]*) complain "POLL must be a number of seconds, not $POLL" ;; esac
export DRY_RUN  # resume.sh calls other scripts

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
where=(--zone="$ZONE")
if [ -n "$PROJECT" ]; then where+=(--project="$PROJECT"); fi

# Prints arguments so that a shell reads them back as they are.
quote() { python3 -c 'import shlex, sys; print(shlex.join(sys.argv[1:]))' "$@"; }

# Runs a command; a dry run prints it, to the real output even from within $(…).
exec 3>&1
run() {
  if [ "$DRY_RUN" = 1 ]; then quote "$@" >&3; else "$@"; fi
}

need_gcloud() {
  if [ "$DRY_RUN" = 0 ] && ! command -v gcloud > /dev/null; then
    complain "gcloud is missing (https://cloud.google.com/sdk/docs/install); --dry-run needs none"
  fi
}

# The state of the queued resource, NONE where there is none; fails where gcloud does not answer.
# A list, since `describe` fails in both cases. A dry run takes the state to be $1.
state() {
  local found
  found=$(run gcloud compute tpus queued-resources list "${where[@]}" \
    --filter="name.basename()=\"$NAME\"" --format='value(state.state)') || return
  if [ "$DRY_RUN" = 1 ]; then found=$1; fi
  echo "${found:-NONE}"
}

# The same, or the end of a script that has not done anything yet.
first_state() {
  state "$1" || complain "gcloud did not say how $NAME is, so nothing has been done"
}

# Waits from state $2 on for one that stays, and prints it; a look that fails is one of many.
settled() {
  local now=$2
  until [[ $now =~ ^(ACTIVE|FAILED|SUSPENDED|NONE)$ ]]; do
    say "$(date +%T) $NAME is $now"
    if [ "$DRY_RUN" = 0 ]; then sleep "$POLL"; fi
    now=$(state "$1") || now="unknown, since gcloud did not answer; looking again"
  done
  echo "$now"
}

# Has every worker's shell read one line, in the home folder.
on_workers() {
  run gcloud compute tpus tpu-vm ssh "$NAME" "${where[@]}" --worker=all --command="$1"
}

# Starts python -m wayjax.run with these arguments on every worker, to go on when ssh has ended.
start() {
  local line log
  line=$(quote nohup wayjax-checkout/.venv/bin/python -m wayjax.run "$@" --distributed)
  log=$(quote "$NAME.log")
  on_workers "$line >> $log 2>&1 < /dev/null &"
  say "to watch it:"
  say "$(quote gcloud compute tpus tpu-vm ssh "$NAME" "${where[@]}" --command="tail -f $log")"
}

# Sets `arguments` to those of a new run. RUN_ARGS is split as by a shell, but a $ in it stays a $.
new_run() {
  local words
  words=$(python3 -c 'import shlex, sys; print(shlex.join(shlex.split(sys.argv[1])))' "$RUN_ARGS" \
    2> /dev/null) || complain "RUN_ARGS has an open quote: $RUN_ARGS"
  arguments=()
  eval "arguments=($words)"
  arguments+=(--out "$OUT")
}

# The same, but of a run that goes on where OUT holds one.
new_or_resumed_run() {
  if begun; then arguments=(--resume "$OUT"); else new_run; fi
}

# Whether OUT holds a run. Where a bucket cannot be looked into, a new run will say why.
begun() {
  local look='import sys; from wayjax.results.storage import open_files'
  look+='; sys.exit(open_files(sys.argv[1]).read("config.json") is None)'
  case $OUT in
    gs://*) "$PYTHON" -c "$look" "$OUT" 2> /dev/null ;;
    *) [ -e "$OUT/config.json" ] ;;
  esac
}
