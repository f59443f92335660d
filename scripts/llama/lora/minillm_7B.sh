#!/usr/bin/env bash
# LLaMA 7B, MiniLLM with LoRA from the student of lora/sft_7B.sh, with the teacher of sft/13B.sh.
# The paper reports no figures of LoRA. Rank and learning rate are usual values, not tuned.
# Estimate: one GPU with 80 GB; `minillm plan` counts 59.9 GB. 4-bit weights, which it cannot count,
# need less: student.load_in_4bit=true teacher.load_in_4bit=true.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama
distil minillm 7B 13B 7B/minillm_lora "student.path=$(best 7B/sft_lora 7B)" student.lora.rank=16 \
    student.dtype=bfloat16 training.lr=5e-5 method.sampling_batch_size=16 \
    evaluation.batch_size=16 "$@"
