#!/usr/bin/env bash
# Table 1 of the paper, LLaMA 7B, SeqKD: ROUGE-L 27.5 on Dolly. The learning rate is from the
# official script.
# Estimate: 1.6 hours of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama
distil seqkd 7B 13B 7B/seqkd training.lr=1e-5 "$@"
