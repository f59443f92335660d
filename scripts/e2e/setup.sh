# Sourced by the scripts of this folder. Sets the data folder (the first argument of the script), the
# folder of the runs, and the settings of all student runs.
path=$(realpath "${1:?give the folder with trainset.csv and devset.csv}")
source "$(dirname "$0")/../install.sh"
path=$(python -c 'import os, sys; print(os.path.relpath(sys.argv[1]))' "$path") # results show it
RUNS=${RUNS:-runs/e2e}
SET=e2e
source scripts/phases.sh
data=data.path=$path
student=("$data" student.path="$RUNS/init/best" teacher.path="$RUNS/teacher/best")
