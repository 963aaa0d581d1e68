#!/usr/bin/env bash
# Installs wayjax in a virtual environment on every worker. Run again, it updates it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
need_gcloud

if [ -n "$REPOSITORY" ]; then
  clone=$(quote git clone "$REPOSITORY" wayjax-checkout)
  on_workers "{ [ -d wayjax-checkout ] || $clone; } && git -C wayjax-checkout pull --ff-only"
else
  on_workers "mkdir -p wayjax-checkout"
  run gcloud compute tpus tpu-vm scp --recurse \
    "${here%/*}"/{pyproject.toml,README.md,LICENSE,wayjax,experiments} \
    "$NAME:wayjax-checkout/" "${where[@]}" --worker=all
fi

# uv brings a Python with it. PIP_BREAK_SYSTEM_PACKAGES lets newer images install for this user too.
line="set -e; export PIP_BREAK_SYSTEM_PACKAGES=1"
line+="; [ -x .local/bin/uv ] || python3 -m pip install --user uv==0.13.9"
line+="; cd wayjax-checkout; ~/.local/bin/uv venv --allow-existing --python $(quote "$PYTHON_VERSION")"
line+="; ~/.local/bin/uv pip install -e '.[tpu,gcs]'"
on_workers "$line"
