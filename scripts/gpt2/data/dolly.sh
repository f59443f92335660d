#!/usr/bin/env bash
# Dolly from the Hub as jsonl files in DATA, with the splits of the official code.
set -euo pipefail
source "$(dirname "$0")/../../family.sh" gpt2
prepare 120M "$@"
