#!/usr/bin/env bash
# Table 1 of the paper, GPT-2 760M, MiniLLM: ROUGE-L 26.4 on Dolly, 15.9 SelfInst, 18.3 Vicuna,
# 29.3 S-NI, 37.7 UnNI.
# Estimate: 3.5 hours of one A100 (docs/reproduce.md). L_PT on CORPUS is three quarters of it or
# more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
distil minillm 760M 1.5B 760M/minillm "$@"
