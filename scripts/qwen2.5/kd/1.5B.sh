#!/usr/bin/env bash
# Qwen2.5 1.5B, KD. The learning rate is from the official script.
# Estimate: 54 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen2.5
distil kd 1.5B 7B 1.5B/kd training.lr=1e-5 "$@"
