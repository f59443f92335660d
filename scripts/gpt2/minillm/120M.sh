#!/usr/bin/env bash
# Table 1 of the paper, GPT-2 120M, MiniLLM: ROUGE-L 24.6 on Dolly, 13.2 SelfInst, 16.9 Vicuna,
# 25.3 S-NI, 26.6 UnNI.
# Estimate: 1.6 hours of one A100 (docs/reproduce.md). L_PT on CORPUS is three quarters of it or
# more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
distil minillm 120M 1.5B 120M/minillm "$@"
