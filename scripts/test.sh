#!/usr/bin/env bash
# Runs lint and tests. Arguments go to pytest: bash scripts/test.sh tests/objectives -k official
set -euo pipefail
source "$(dirname "$0")/install.sh"
ruff check .
ruff format --check .
exec python -m pytest "$@"
