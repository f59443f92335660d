#!/usr/bin/env bash
# LLaMA 7B, MiniLLM with LoRA from the student of lora/sft_7B.sh, with the teacher of sft/13B.sh.
# The paper reports no figures of LoRA. Rank and learning rate are usual values, not tuned.
# Estimate: one GPU with 80 GB. With 24 GB, add student.load_in_4bit=true
# teacher.load_in_4bit=true.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama
distil minillm 7B 13B 7B/minillm_lora "student.path=$(best 7B/sft_lora 7B)" student.lora.rank=16 \
    student.dtype=bfloat16 training.lr=5e-5 "$@"
