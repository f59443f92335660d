#!/usr/bin/env bash
# Qwen2.5 1.5B, MiniLLM with LoRA from the student of lora/sft_1.5B.sh, with the teacher of sft/7B.sh.
# The paper reports no figures of LoRA. Rank and learning rate are usual values, not tuned.
# Estimate: one GPU with 24 GB; `minillm plan` counts 23.0 GB.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" qwen2.5
distil minillm 1.5B 7B 1.5B/minillm_lora "student.path=$(best 1.5B/sft_lora 1.5B)" \
    student.lora.rank=16 student.dtype=bfloat16 training.lr=5e-5 \
    runtime.gradient_checkpointing=true method.sampling_batch_size=32 evaluation.batch_size=32 "$@"
