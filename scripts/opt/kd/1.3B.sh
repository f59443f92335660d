#!/usr/bin/env bash
# Table 1 of the paper, OPT 1.3B, KD. The learning rate is from the official script.
# Estimate: 1.2 hours of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
distil kd 1.3B 13B 1.3B/kd training.lr=5e-5 "$@"
