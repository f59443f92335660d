#!/usr/bin/env bash
# Qwen2.5 1.5B, SeqKD. The learning rate is from the official script.
# Estimate: 24 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen2.5
distil seqkd 1.5B 7B 1.5B/seqkd training.lr=1e-5 "$@"
