#!/usr/bin/env bash
# Qwen3 0.6B, SeqKD.
# Estimate: 20 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen3
distil seqkd 0.6B 8B 0.6B/seqkd "$@"
