#!/usr/bin/env bash
# Dolly from the Hub as jsonl files in DATA. Settings of `minillm data` name other data:
#   bash scripts/smollm2/data/dolly.sh data.kind=jsonl data.path=FOLDER data.train=dolly_dev.jsonl \
#       data.test=dolly.jsonl data.validation_size=100
set -euo pipefail
source "$(dirname "$0")/../../family.sh" smollm2
prepare 135M data.max_prompt_length=192 data.max_response_length=64 data.max_length=null "$@"
