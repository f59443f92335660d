#!/usr/bin/env bash
# The tables and figures of the paper from finished and scored runs, without models or a GPU:
#   bash scripts/tables.sh                 all families of runs/, after scripts/FAMILY/all.sh
#   bash scripts/tables.sh runs/gpt2       some families or runs
# RESULTS=FOLDER is where they are written (default: results/tables). The page is index.html.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -x .venv/bin/python ]; then
    PATH="$PWD/.venv/bin:$PATH"
fi
if [ $# -eq 0 ]; then
    set -- runs
fi
minillm report paper "$@" --output "${RESULTS:-results/tables}"
