#!/usr/bin/env bash
# Word-level KD of the recovered student.
# Estimate: 8 minutes of training, as for the other methods, and 3 minutes of validation.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" smollm2
distil kd 70M 135M 70M/kd "student.path=$(best 70M/init 70M)" "$@"
