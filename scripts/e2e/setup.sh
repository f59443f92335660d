# Sourced by the scripts of this folder: the data of their first argument, where runs go, and what
# every student's training is given.
path=$(realpath "${1:?give the folder with trainset.csv and devset.csv}")
source "$(dirname "$0")/../install.sh"
path=$(python -c 'import os, sys; print(os.path.relpath(sys.argv[1]))' "$path") # as results show it
RUNS=${RUNS:-runs/e2e}
SET=e2e
source scripts/phases.sh
data=data.path=$path
student=("$data" student.path="$RUNS/init/best" teacher.path="$RUNS/teacher/best")
