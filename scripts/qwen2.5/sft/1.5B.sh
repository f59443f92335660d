#!/usr/bin/env bash
# Qwen2.5 1.5B, SFT. The learning rate is from the official script.
# Estimate: 21 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen2.5
train sft 1.5B 1.5B/sft training.lr=1e-5 "$@"
