#!/usr/bin/env bash
# Fine-tuning of the recovered student on responses of the teacher.
# Estimate: 15 minutes on 2 cores.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" smollm2
distil seqkd 70M 135M 70M/seqkd "student.path=$(best 70M/init 70M)" "$@"
