#!/usr/bin/env bash
# All phases of Qwen3 in order. Finished phases are not repeated, and interrupted runs continue.
set -euo pipefail
source "$(dirname "$0")/../family.sh" qwen3
all data sft init kd seqkd minillm eval
