#!/usr/bin/env bash
# Phase 1 of MiniLLM, GPT-J 1.5B: the start of minillm/1.5B.sh.
# Estimate: under 10 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
train init 1.5B 1.5B/init "$@"
