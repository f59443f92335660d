# Creates .venv if it is missing, and installs the pinned packages: `bash scripts/install.sh`. The other
# scripts source this file, which then also activates .venv. PYTHON sets the interpreter (3.11 or newer).
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
if [ ! -x .venv/bin/pip ]; then # without pip, .venv is what a failed call has left
    python=${PYTHON:-python3}
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "install.sh: $python is older than Python 3.11, or missing. Set PYTHON to a newer one," \
            "such as PYTHON=python3.12." >&2
        exit 2
    fi
    echo "== Creating .venv with $python"
    "$python" -m venv .venv || exit
fi

install() { # EXTRA: install the packages of setup.cfg with those of the extra EXTRA
    # Packages are installed again only if one of these files has changed.
    local checksum
    checksum=$(cat setup.py setup.cfg constraints.txt | cksum)
    if [ "$(cat ".venv/installed_$1" 2>/dev/null)" = "$checksum" ]; then
        return
    fi
    echo "== Installing the packages of setup.cfg, with the extra '$1', in the versions of constraints.txt"
    # torch is installed first, by its exact version, so that pip can choose an available CPU build.
    .venv/bin/python -m pip install --quiet --constraint constraints.txt "$(grep '^torch==' constraints.txt)" &&
        .venv/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[$1]" &&
        echo "$checksum" >".venv/installed_$1"
}

install dev || exit
export PATH="$PWD/.venv/bin:$PATH"
