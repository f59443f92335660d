#!/usr/bin/env bash
# LLaMA 7B, SFT with LoRA (docs/lora.md). The paper reports no figures of LoRA. Rank and learning
# rate are usual values, not tuned.
# Estimate: one GPU with 24 GB; `minillm plan` counts 22.2 GB.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama
train sft 7B 7B/sft_lora student.lora.rank=16 student.dtype=bfloat16 training.lr=2e-4 \
    training.epochs=3 evaluation.batch_size=16 "$@"
