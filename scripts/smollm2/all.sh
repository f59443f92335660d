#!/usr/bin/env bash
# Distils SmolLM2-135M-Instruct into a student of 70.8M parameters that is pruned from it: all phases
# in order. Finished phases are not repeated, and interrupted runs continue.
set -euo pipefail
source "$(dirname "$0")/../family.sh" smollm2
all data sft/135M prune init sft kd seqkd minillm eval
