#!/usr/bin/env bash
# Qwen3 1.7B, KD.
# Estimate: 59 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen3
distil kd 1.7B 8B 1.7B/kd "$@"
