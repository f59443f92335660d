#!/usr/bin/env bash
# All phases of OPT in order. Finished phases are not repeated, and interrupted runs continue.
set -euo pipefail
source "$(dirname "$0")/../family.sh" opt
all data sft init kd seqkd minillm eval
