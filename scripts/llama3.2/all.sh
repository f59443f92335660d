#!/usr/bin/env bash
# All phases of Llama 3.2 in order. Finished phases are not repeated, and interrupted runs
# continue.
set -euo pipefail
source "$(dirname "$0")/../family.sh" llama3.2
all data sft init kd seqkd minillm eval
