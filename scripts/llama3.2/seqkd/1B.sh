#!/usr/bin/env bash
# Llama 3.2 1B, SeqKD.
# Estimate: 34 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama3.2
distil seqkd 1B 3B 1B/seqkd "$@"
