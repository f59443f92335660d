#!/usr/bin/env bash
# Phase 1 of MiniLLM, Llama 3.2 1B: the start of minillm/1B.sh.
# Estimate: under 10 minutes of one A100 (docs/reproduce.md).
set -euo pipefail
source "$(dirname "$0")/../../family.sh" llama3.2
train init 1B 1B/init "$@"
