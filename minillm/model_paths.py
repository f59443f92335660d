"""Where files and the folders of models lie in the folder of a run.

RUN/best, RUN/last                             the models of a run
RUN/checkpoints/step-000123/best and .../last  the models at the time of a checkpoint
"""

from pathlib import Path

METRICS = "metrics.jsonl"
SUMMARY = "summary.json"
MODELS = ("best", "last")
CHECKPOINTS = "checkpoints"


def run_folder(model: Path) -> Path | None:
    """The folder of the run to which a model's folder belongs by its path; None for other paths.

    The path is not read, so the result may be a folder that is no run.
    """
    if model.name not in MODELS:
        return None
    if model.parent.name.startswith("step-") and model.parent.parent.name == CHECKPOINTS:
        return model.parent.parent.parent
    return model.parent
