"""The report of a sweep: `minillm report sweep FOLDER --output FOLDER`.

Writes table.md and trials.csv (all trials), best.yaml (the best trial as a file of settings for
`minillm train --config`), figures, and with `--page` all of it in sweep.html. The report can be
made while the sweep runs.
"""

import csv
import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from minillm.errors import InputError
from minillm.files import check_writable, write_results
from minillm.progress import duration
from minillm.reporting.markdown import NOTHING, table
from minillm.reporting.page.page import Part, html_page
from minillm.sweeps.figures import (
    history_figure,
    importance_figure,
    parallel_figure,
    score_of,
    slice_figure,
    varied_keys,
)
from minillm.sweeps.status import ERROR, REASON, SAVED, count, seconds_of, trials_of
from minillm.sweeps.study import SPACE, load_study
from minillm.version import version_text

log = logging.getLogger(__name__)

TABLE, CSV, PAGE = "table.md", "trials.csv", "sweep.html"
ORDER = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL)
NAMES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
         TrialState.RUNNING: "running", TrialState.WAITING: "waiting"}  # fmt: skip
# Files of an earlier report, which are deleted if they are no part of the new one.
OLD = ("best.yaml", "best-[0-9]*.yaml", "importance.png", PAGE)
ENOUGH = 5  # trials that count as good, if there are so many (PED-ANOVA)
# Settings of a run that a file of settings for other runs must not have.
OF_THE_RUN = ("output", "resume", "overwrite", "dry_run")


def write_sweep_report(
    folder: Path, output: Path, *, title: str | None = None, page: bool = False
) -> str:
    """Write the report of a sweep.

    Args:
        folder: the folder of the sweep.
        output: the folder of the report, created if it does not exist.
        title: heading; the name of the study by default.
        page: whether sweep.html is written.

    Returns:
        The tables, in Markdown.

    Raises:
        InputError: the folder is not that of a sweep, no trial has begun, or `output` has other
            files of these names or cannot be written.
        WriteError: a file could not be written. Then no file is changed.
    """
    study = load_study(folder)
    trials = trials_of(study)
    if not trials:
        raise InputError(f"the sweep in {folder} has no trial yet. Run `minillm sweep` first.")
    check_writable(output, f"the folder {output} for the report", "Give another folder.")
    objectives = objectives_of(study)
    importance = importance_of(study, objectives)
    tables = tables_of(study, trials, objectives, importance)
    figures = figures_of(trials, objectives, importance)
    title = title or f"Sweep {study.study_name}"
    origin = f"Study {study.study_name} in {folder}, read by {version_text()}."
    links = "".join(f"![{name.removesuffix('.png')}]({name})\n\n" for name in figures)
    texts = {TABLE: f"# {title}\n\n{tables}\n\n{links}## Provenance\n\n{origin}\n",
             CSV: csv_of(trials, objectives)} | best_files(study, folder)  # fmt: skip
    if page:
        shown = [Part(name.removesuffix(".png"), name.removesuffix(".png"), "", png)
                 for name, png in figures.items()]  # fmt: skip
        texts[PAGE] = html_page(title, [Part("trials", "", tables)], shown, origin, samples={})
    contents = {name: text.encode() for name, text in texts.items()} | figures
    others = [name for name in contents if (output / name).exists()]
    if others and CSV not in others:
        raise InputError(
            f"{output} holds {', '.join(others)}, but no {CSV} of an earlier report, so these "
            f"files would be lost. Give another folder, or move the files."
        )
    old = [] if not (output / CSV).exists() else [
        path for pattern in OLD for path in output.glob(pattern) if path.name not in contents
    ]  # fmt: skip
    write_results({output / name: content for name, content in contents.items()})
    for path in old:
        path.unlink()
    log.info("written to %s: %s", output, ", ".join(contents))
    return tables


def objectives_of(study: Study) -> dict[str, bool]:
    """The names of the objectives, and whether more is better."""
    names = study.user_attrs[SPACE]["objectives"]
    return {name: direction == StudyDirection.MAXIMIZE
            for name, direction in zip(names, study.directions, strict=True)}  # fmt: skip


def importance_of(study: Study, objectives: Mapping[str, bool]) -> dict[str, dict[str, float]]:
    """The share of each setting in reaching a good score, by PED-ANOVA (arXiv 2304.10255).

    The best tenth of the complete trials counts as good, but at least `ENOUGH` trials. The
    importance is empty if fewer than twice as many trials are complete.
    """
    complete = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
    if len(complete) < 2 * ENOUGH:
        return {}
    evaluator = PedAnovaImportanceEvaluator(
        target_quantile=max(0.1, ENOUGH / len(complete)), region_quantile=1.0,
        evaluate_on_local=True,
    )  # fmt: skip
    shares = {}
    for index, (name, more) in enumerate(objectives.items()):
        sign = -1.0 if more else 1.0  # a target is minimised
        with warnings.catch_warnings(action="ignore"):
            shares[name] = get_param_importances(
                study, evaluator=evaluator, target=lambda t, i=index, s=sign: s * t.values[i]
            )
    return shares


def tables_of(
    study: Study,
    trials: Sequence[FrozenTrial],
    objectives: Mapping[str, bool],
    importance: Mapping[str, Mapping[str, float]],
) -> str:
    """The summary, the table of trials, and the table of importance, in Markdown."""
    keys = varied_keys(trials)
    rows = [
        [str(trial.number), NAMES[trial.state], *(_number(s) for s in _scores(trial, objectives)),
         *(_value(trial, key) for key in keys), duration(seconds_of(trial)), _note(trial)]
        for trial in sorted(trials, key=lambda trial: _order(trial, objectives))
    ]  # fmt: skip
    header = ["trial", "state", *objectives, *keys, "time", "note"]
    parts = [summary(study, trials), table(header, rows, texts=2)]
    if importance:
        names = sorted(keys, key=lambda key: -next(iter(importance.values())).get(key, 0))
        shares = [[key, *(f"{one.get(key, 0):.0%}" for one in importance.values())]
                  for key in names]  # fmt: skip
        parts += [
            "## Importance",
            table(["setting", *importance], shares, texts=1),
            "The share of each setting in reaching one of the best scores (PED-ANOVA).",
        ]
    return "\n\n".join(parts)


def summary(study: Study, trials: Sequence[FrozenTrial]) -> str:
    """The trials by state, the time of all trials, and the time that pruning has saved."""
    counts, saved = count(trials), saved_by_pruning(trials)
    shared = sum(float(trial.user_attrs.get(SAVED, 0.0)) for trial in trials)
    best = ", ".join(str(trial.number) for trial in best_trials(study)) or "none"
    return (
        f"{counts.begun} trials: {counts.complete} complete, {counts.pruned} pruned, "
        f"{counts.failed} failed, {counts.running} running. Best: {best}. All trials together took "
        f"{duration(counts.hours * 3600)}. Pruning has saved about {duration(saved)}. What trials "
        f"share (responses of the teacher, a loaded teacher, loaded libraries) has saved "
        f"{duration(shared)}."
    )


def saved_by_pruning(trials: Sequence[FrozenTrial]) -> float:
    """Seconds that the pruned trials took less than a complete trial on average."""
    complete = [seconds_of(t) for t in trials if t.state == TrialState.COMPLETE]
    if not complete:
        return 0.0
    mean = sum(complete) / len(complete)
    return sum(max(mean - seconds_of(t), 0.0) for t in trials if t.state == TrialState.PRUNED)


def best_trials(study: Study) -> list[FrozenTrial]:
    """The best trial; with several objectives, all best ones.

    Then a trial is best if no other trial is at least as good in all objectives and better in one.
    """
    if not any(trial.state == TrialState.COMPLETE for trial in study.get_trials(deepcopy=False)):
        return []
    return [study.best_trial] if len(study.directions) == 1 else study.best_trials


def best_files(study: Study, folder: Path) -> dict[str, str]:
    """The settings of the best trials as files: best.yaml, or best-N.yaml for the trial N."""
    best, files = best_trials(study), {}
    for trial in best:
        run = folder / "trials" / str(trial.number)
        configs = [run / "config.yaml", *sorted(run.glob("seed-*/config.yaml"))]
        config = next((path for path in configs if path.is_file()), None)
        if config is None:
            log.warning("the trial %d has no config.yaml, so there is no file of its settings.",
                        trial.number)  # fmt: skip
            continue
        name = "best.yaml" if len(best) == 1 else f"best-{trial.number}.yaml"
        scores = ", ".join(f"{key} {value:.4g}" for key, value
                           in zip(objectives_of(study), trial.values, strict=True))  # fmt: skip
        head = f"# Trial {trial.number} of the sweep {study.study_name}: {scores}.\n"
        files[name] = head + _settings(config)
    return files


def _settings(config: Path) -> str:
    """The settings of a run, without those that belong to its own folder."""
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    file, output = settings["method"].get("file"), settings["output"]
    shared = [folder / "shared" for folder in Path(output).parents]
    if file and (file == f"{output}.responses.jsonl" or Path(file).parent in shared):
        del settings["method"]["file"]  # belongs to the run, or to the sweep
    kept = {key: value for key, value in settings.items() if key not in OF_THE_RUN}
    return yaml.safe_dump(kept, sort_keys=False)


def figures_of(
    trials: Sequence[FrozenTrial],
    objectives: Mapping[str, bool],
    importance: Mapping[str, Mapping[str, float]],
) -> dict[str, bytes]:
    """The figures that the trials so far allow, by file name."""
    if not any(trial.state == TrialState.COMPLETE for trial in trials):
        return {}
    figures = {
        "history.png": history_figure(trials, objectives),
        "slices.png": slice_figure(trials, objectives),
        "parallel.png": parallel_figure(trials, objectives),
    }
    return figures | ({"importance.png": importance_figure(importance)} if importance else {})


def csv_of(trials: Sequence[FrozenTrial], objectives: Mapping[str, bool]) -> str:
    """One row per trial, with full precision."""
    keys, text = varied_keys(trials), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", *objectives, *keys, "seconds", "note"])
    for trial in trials:
        values = ["null" if trial.params.get(key, "") is None else trial.params.get(key, "")
                  for key in keys]  # fmt: skip
        writer.writerow([trial.number, NAMES[trial.state], *_scores(trial, objectives), *values,
                         round(seconds_of(trial), 1), _note(trial)])  # fmt: skip
    return text.getvalue()


def _scores(trial: FrozenTrial, objectives: Mapping[str, bool]) -> list[float | None]:
    return [score_of(trial, index) for index in range(len(objectives))]


def _order(trial: FrozenTrial, objectives: Mapping[str, bool]) -> tuple:
    score = score_of(trial, 0)
    sign = -1 if next(iter(objectives.values())) else 1
    place = ORDER.index(trial.state) if trial.state in ORDER else len(ORDER)
    return place, sign * score if score is not None else 0.0, trial.number


def _note(trial: FrozenTrial) -> str:
    return trial.user_attrs.get(ERROR) or trial.user_attrs.get(REASON) or ""


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4g}"


def _value(trial: FrozenTrial, key: str) -> str:
    if key not in trial.params:
        return NOTHING
    value = trial.params[key]
    return f"{value:.4g}" if isinstance(value, float) else "null" if value is None else str(value)
