#!/usr/bin/env bash
# Qwen3 0.6B, SFT.
# Estimate: 16 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen3
train sft 0.6B 0.6B/sft "$@"
