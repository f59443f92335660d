#!/usr/bin/env bash
# Qwen3 1.7B, SeqKD.
# Estimate: 27 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen3
distil seqkd 1.7B 8B 1.7B/seqkd "$@"
