#!/usr/bin/env bash
# Table 1 of the paper, OPT 1.3B, MiniLLM: ROUGE-L 26.7 on Dolly, 14.8 SelfInst, 17.9 Vicuna, 28.6
# S-NI, 33.4 UnNI.
# Estimate: 14 hours of one A100 (docs/reproduce.md). L_PT on CORPUS is three quarters of it or
# more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
distil minillm 1.3B 13B 1.3B/minillm "$@"
