#!/usr/bin/env bash
# MiniLLM with the estimator of this project, from the recovered student.
# Estimate: 8 minutes of training, as for the other methods, and 3 minutes of validation.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" smollm2
distil minillm_average_reward 70M 135M 70M/minillm_average_reward \
    "student.path=$(best 70M/init 70M)" "$@"
