#!/usr/bin/env bash
# Table 1 of the paper, OPT 6.7B, SeqKD. The learning rate is from the official script.
# Estimate: 1.6 hours of one A100 (docs/reproduce.md). Needs several GPUs, such as BACKEND=zero2
# NPROC=8 with 80 GB each.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
distil seqkd 6.7B 13B 6.7B/seqkd training.lr=1e-5 "$@"
