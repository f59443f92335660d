#!/usr/bin/env bash
# Phase 1 of MiniLLM, GPT-J 2.7B: the start of minillm/2.7B.sh.
# Estimate: 11 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gptj
train init 2.7B 2.7B/init "$@"
