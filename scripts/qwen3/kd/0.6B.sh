#!/usr/bin/env bash
# Qwen3 0.6B, KD.
# Estimate: 1.5 hours of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen3
distil kd 0.6B 8B 0.6B/kd "$@"
