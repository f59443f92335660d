#!/usr/bin/env bash
# Llama 3.2 1B, SFT.
# Estimate: 33 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama3.2
train sft 1B 1B/sft "$@"
