#!/usr/bin/env bash
# Lint and tests. Arguments go to pytest: bash scripts/test.sh tests/objectives -k official
set -euo pipefail
source "$(dirname "$0")/install.sh"
ruff check .
ruff format --check .
exec python -m pytest "$@"
