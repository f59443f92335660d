#!/usr/bin/env bash
# Llama 3.2 1B, KD.
# Estimate: 1.0 hours of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama3.2
distil kd 1B 3B 1B/kd "$@"
