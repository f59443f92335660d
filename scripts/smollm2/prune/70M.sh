#!/usr/bin/env bash
# A student of 70.8M parameters: 24 of 30 layers and a third of the hidden units of the teacher.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" smollm2
prune teacher 135M 70M/pruned layers=24 by=block ffn=512 "$@"
