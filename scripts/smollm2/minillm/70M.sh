#!/usr/bin/env bash
# MiniLLM as in the paper, from the recovered student, without L_PT.
# Estimate: 8 minutes of training, as for the other methods, and 3 minutes of validation.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" smollm2
distil minillm 70M 135M 70M/minillm "student.path=$(best 70M/init 70M)" "$@"
