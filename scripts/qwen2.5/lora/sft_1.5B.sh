#!/usr/bin/env bash
# Qwen2.5 1.5B, SFT with LoRA (docs/lora.md). The paper reports no figures of LoRA. Rank and learning
# rate are usual values, not tuned.
# Estimate: one GPU with 16 GB; `minillm plan` counts 12.4 GB.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen2.5
train sft 1.5B 1.5B/sft_lora student.lora.rank=16 student.dtype=bfloat16 training.lr=2e-4 \
    training.epochs=3 runtime.gradient_checkpointing=true "$@"
