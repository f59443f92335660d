# Sourced by the scripts of this folder. Sets the data folder (the first argument of the script), the
# folder of the runs, and the settings of all student runs.
#   BED=e2e        the student has 83K parameters: 32 dimensions, 1 layer (the default)
#   BED=e2e_64x2   the student has 240K parameters: 64 dimensions, 2 layers
# All beds have the same teacher. TEACHER=runs/e2e/teacher uses the run of another bed.
path=$(realpath "${1:?give the folder with trainset.csv and devset.csv}")
source "$(dirname "$0")/../install.sh"
path=$(python -c 'import os, sys; print(os.path.relpath(sys.argv[1]))' "$path") # results show it
BED=${BED:-e2e}
RUNS=${RUNS:-runs/$BED}
source scripts/phases.sh
if [ -n "${TEACHER:-}" ] && [ ! -e "$RUNS/teacher" ]; then
    mkdir -p "$RUNS"
    ln -s "$(realpath "$TEACHER")" "$RUNS/teacher"
fi
data=data.path=$path
student=("$data" student.path="$RUNS/init/best" teacher.path="$RUNS/teacher/best")
