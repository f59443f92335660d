# Sourced by the other scripts: make .venv if it is missing, install what is pinned, and enter it.
# Set PYTHON to choose the interpreter (3.11 or newer).
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ ! -x .venv/bin/python ]; then
    echo "== Making .venv with ${PYTHON:-python3}"
    "${PYTHON:-python3}" -m venv .venv
fi
# Nothing is installed again while what is asked for stays the same.
wanted=$(cat setup.py setup.cfg constraints.txt | cksum)
if [ "$(cat .venv/installed 2>/dev/null)" != "$wanted" ]; then
    echo "== Installing the packages of setup.cfg in the versions of constraints.txt"
    # First torch by its exact version: a CPU build is taken where one is at hand.
    .venv/bin/python -m pip install --quiet --constraint constraints.txt "$(grep '^torch==' constraints.txt)"
    .venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
    echo "$wanted" >.venv/installed
fi
export PATH="$PWD/.venv/bin:$PATH"
