#!/usr/bin/env bash
# Phase 1 of MiniLLM, GPT-J 760M: the start of minillm/760M.sh.
# Estimate: under 10 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
train init 760M 760M/init "$@"
