#!/usr/bin/env bash
# Qwen3 8B, teacher.
# Estimate: 1.8 hours of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen3
train teacher 8B teacher "$@"
