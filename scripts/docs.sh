#!/usr/bin/env bash
# Builds the documentation site in build/site, and fails on a broken link:
#   bash scripts/docs.sh
#   python -m http.server --directory build/site     then open http://localhost:8000
# No page loads anything from another server. The search needs a server such as the one above.
set -euo pipefail
source "$(dirname "$0")/install.sh"
install docs
python scripts/site_pages.py
zensical build --clean --strict
if grep -rnoE '<(script|link|img|iframe)[^>]* (src|href)="(https?:)?//[^"]*"' build/site --include='*.html'; then
    echo "docs.sh: these elements load files from other servers." >&2
    exit 1
fi
