#!/usr/bin/env bash
# Qwen3 1.7B, SFT.
# Estimate: 23 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen3
train sft 1.7B 1.7B/sft "$@"
