#!/usr/bin/env bash
# Table 1 of the paper, OPT 2.7B, MiniLLM.
# Estimate: 18 hours of one A100 (docs/reproduce.md). L_PT on CORPUS is three quarters of it or
# more.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" opt
distil minillm 2.7B 13B 2.7B/minillm "$@"
