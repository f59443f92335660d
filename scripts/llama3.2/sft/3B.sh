#!/usr/bin/env bash
# Llama 3.2 3B, teacher.
# Estimate: 43 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama3.2
train teacher 3B teacher "$@"
