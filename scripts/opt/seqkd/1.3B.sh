#!/usr/bin/env bash
# Table 1 of the paper, OPT 1.3B, SeqKD: ROUGE-L 26.1 on Dolly. The learning rate is from the
# official script.
# Estimate: 23 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
distil seqkd 1.3B 13B 1.3B/seqkd training.lr=5e-5 "$@"
