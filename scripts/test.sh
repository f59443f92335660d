#!/usr/bin/env bash
# Runs lint and all tests, in two processes of one thread each. With arguments, which go to pytest, it
# runs one process: bash scripts/test.sh tests/objectives -k official
set -euo pipefail
source "$(dirname "$0")/install.sh"
ruff check .
ruff format --check .
if [ $# -eq 0 ]; then
    export OMP_NUM_THREADS=1
    set -- -n 2 --dist loadfile # a file is not divided, because its tests share fixtures
fi
exec python -m pytest "$@"
