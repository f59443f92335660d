#!/usr/bin/env bash
# All phases of LLaMA in order. Finished phases are not repeated, and interrupted runs continue.
set -euo pipefail
source "$(dirname "$0")/../family.sh" llama
all data sft init kd seqkd minillm eval
