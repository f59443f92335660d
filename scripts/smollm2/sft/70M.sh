#!/usr/bin/env bash
# Fine-tuning of the recovered student on the gold responses.
# Estimate: 8 minutes of training, as for the other methods, and 3 minutes of validation.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" smollm2
train sft 70M 70M/sft "student.path=$(best 70M/init 70M)" "$@"
