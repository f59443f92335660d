"""Which model each result belongs to: its family, size, method and changes.

They are read from the settings that a result records, not from names of files. Results of the same
model on the same data set are training runs with different seeds, and form a group.
"""

import json
import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from minillm.config import MiniLLMConfig
from minillm.errors import InputError
from minillm.evaluation.result import Result
from minillm.objectives.minillm import VARIANTS, with_variant
from minillm.reporting.groups import START, TEACHER, Group, unique
from minillm.reporting.results import rounded
from minillm.reporting.roles import model_of
from minillm.reporting.run_settings import (
    have_same_settings,
    identity_of,
    setting_of,
    training_of,
)
from minillm.reporting.table import size_text

log = logging.getLogger(__name__)

# The names of methods in the paper, in the order of its tables. Other methods follow.
METHODS = {TEACHER: "teacher", "sft": "SFT", "kd": "KD", "seqkd": "SeqKD", "minillm": "MiniLLM"}
MINILLM = METHODS["minillm"]
# The changes of the ablations, as results/paper/table4.csv and table7.csv name them.
NO_LENGTH_NORMALISATION = "no length normalisation"
NO_TEACHER_MIXING = "no teacher mixing"
NO_SINGLE_STEP = "no single-step term"
NO_PLAIN_TEXT = "without L_PT"
PAPER_ALPHA = 0.2
# Settings of the sampling that are named if they differ from those of the paper.
_SAMPLING = ("inner_epochs", "responses_per_prompt", "temperature")
_UNITS = {"k": 1e3, "M": 1e6, "B": 1e9}


@dataclass(frozen=True)
class Model:
    """A model of the tables.

    Attributes:
        family: such as `GPT-2`.
        size: such as `120M`.
        method: the name that the paper gives.
        changes: the settings that differ from those of the paper, in words.
        alpha: weight of the teacher in the mixture; None for methods without a mixture.
        teacher_size: size of its teacher; None if there is none, or no result of it.
    """

    family: str
    size: str
    method: str
    changes: tuple[str, ...] = ()
    alpha: float | None = None
    teacher_size: str | None = None

    @property
    def name(self) -> str:
        """Method and changes, such as `MiniLLM, no teacher mixing`."""
        return ", ".join((self.method, *self.changes))

    @property
    def is_teacher(self) -> bool:
        return self.method == METHODS[TEACHER]

    @property
    def is_as_in_paper(self) -> bool:
        """Whether table 1 of the paper has this method, L_PT aside."""
        return not {*self.changes} - {NO_PLAIN_TEXT}

    @property
    def is_ablation(self) -> bool:
        """Whether the model belongs to another table or figure than table 1."""
        ablations = (
            NO_LENGTH_NORMALISATION,
            NO_TEACHER_MIXING,
            NO_SINGLE_STEP,
            "alpha ",
            "teacher ",
        )
        return any(change.startswith(ablations) for change in self.changes)

    @property
    def parameters(self) -> float:
        """The number of parameters that the size names."""
        return parameters_of(self.size)


@dataclass(frozen=True)
class Scored:
    """The results of a model on one data set, one for each training run, and their files."""

    model: Model
    group: Group
    files: tuple[str, ...]

    @property
    def data(self) -> str:
        return self.group.data


def parameters_of(size: str) -> float:
    """The number that a size such as `120M` or `1.5B` names; 0 for another text."""
    match = re.fullmatch(r"([\d.]+)([kMB]?)", size)
    return float(match[1]) * _UNITS.get(match[2], 1) if match else 0.0


def scored_models(results: Mapping[str, Result]) -> list[Scored]:
    """Group results by model and data set, in the order of the tables.

    Results of phase 1 of MiniLLM (`init`) are left out, because the paper has no scores of them.
    The last checkpoint of a run is left out if there are results of its best one.

    Args:
        results: the results by the name of their file, as `locate_results` returns them.

    Raises:
        InputError: two different results have the same model, data set, training seed and run.
    """
    items = _without_last(_distinct(results))
    groups = defaultdict(list)
    for (where, result), model in zip(items, _models(items), strict=True):
        if model.method != START:
            named = replace(result, method=_method_key(result))  # colours depend on it
            groups[model, result.data].append((where, named))
    scored = [
        Scored(one, Group(data, one.name, tuple(runs.values())), tuple(runs))
        for (model, data), items in groups.items()
        for one, runs in _training_runs(model, items)
    ]
    families = unique(each.model.family for each in scored)
    return sorted(scored, key=lambda each: (families.index(each.model.family), _order(each.model)))


def _order(model: Model) -> tuple:
    """Teachers first; then by size, method and changes."""
    methods = list(METHODS.values())
    rank = methods.index(model.method) if model.method in methods else len(methods)
    return not model.is_teacher, model.parameters, rank, model.method, model.changes


def _distinct(results: Mapping[str, Result]) -> list[tuple[str, Result]]:
    """The results and their files, without repetitions."""
    distinct = {}
    for where, result in results.items():
        content = json.dumps(rounded(result.to_json()), sort_keys=True)
        distinct.setdefault(content, (where, result))
    return list(distinct.values())


def _without_last(items: Sequence[tuple[str, Result]]) -> list[tuple[str, Result]]:
    """The results without those of the last checkpoint of a run whose best one has results."""
    runs = {(result.data, result.run_name) for _, result in items}

    def is_beside_best(result: Result) -> bool:
        run, _, checkpoint = (result.run_name or "").rpartition("/")
        return checkpoint == "last" and (result.data, run) in runs

    kept = [item for item in items if not is_beside_best(item[1])]
    if len(kept) < len(items):
        log.info("%d results of last checkpoints are left out, because the best checkpoints of "
                 "their runs have results, too.", len(items) - len(kept))  # fmt: skip
    return kept


def _models(items: Sequence[tuple[str, Result]]) -> list[Model]:
    """The model of each result."""
    results = [result for _, result in items]
    plain = [_without_teacher(result) for result in results]
    by_identity = dict(zip(map(model_of, results), plain, strict=True))
    largest = _largest_teachers(by_identity)
    models = []
    for result, model in zip(results, plain, strict=True):
        path = setting_of(training_of(result), "teacher.path")
        identity = path and identity_of(path)
        teacher = by_identity.get(identity) if identity else None
        if teacher is not None:
            name = teacher.size if teacher.is_teacher else f"{teacher.size} {teacher.name}"
            other = () if identity in largest else (f"teacher {name}",)
            model = replace(model, changes=model.changes + other, teacher_size=teacher.size)
        models.append(model)
    return models


def _largest_teachers(by_identity: Mapping[str | None, Model]) -> set[str | None]:
    """The largest teacher of each family; of teachers of one size, the first."""
    largest: dict[str, str | None] = {}
    for identity, model in by_identity.items():
        other = by_identity.get(largest.get(model.family))
        if model.is_teacher and (other is None or model.parameters > other.parameters):
            largest[model.family] = identity
    return set(largest.values())


def _without_teacher(result: Result) -> Model:
    """The model of a result, without the part of its teacher."""
    config, training = result.config or {}, training_of(result)
    family, size = (
        setting_of(config, f"student.{name}") or setting_of(training, f"student.{name}")
        for name in ("family", "size")
    )
    key = _method_key(result)
    method = METHODS.get(key, key)
    settings = training.get("method") or {} if method == MINILLM else {}
    rank = (setting_of(training, "student.lora") or {}).get("rank")
    lora = (f"LoRA of rank {rank}",) if rank else ()
    return Model(
        family or result.model.split()[0],
        size or size_text(result.parameters),
        method,
        lora + _changes(settings),
        settings.get("alpha"),
    )


def _method_key(result: Result) -> str:
    """The role that `evaluation.name` gives, or the method of the training."""
    name = setting_of(result.config, "evaluation.name")
    if name in (TEACHER, START):
        return name
    return setting_of(training_of(result), "method.name") or result.method


def _changes(method: Mapping[str, Any]) -> tuple[str, ...]:
    """The settings of MiniLLM that are not those of the paper, in words."""
    method = {"variant": "paper", "alpha": PAPER_ALPHA, "lm_coef": 1} | {**method}
    variant, alpha = method["variant"], method["alpha"]
    objective = with_variant(method)
    named = {
        f"variant {variant}": variant != "paper",
        NO_LENGTH_NORMALISATION: VARIANTS[variant].length_normalization
        and not objective["length_normalization"],
        NO_TEACHER_MIXING: alpha == 0,
        f"alpha {alpha:g}": alpha not in (0, PAPER_ALPHA),
        NO_SINGLE_STEP: objective["single_step"] is False,
        NO_PLAIN_TEXT: method["lm_coef"] == 0,
    }
    usual = asdict(VARIANTS[variant]) | {key: getattr(MiniLLMConfig(), key) for key in _SAMPLING}
    others = {key for key, value in usual.items() if objective.get(key, value) != value}
    if named[NO_LENGTH_NORMALISATION]:
        others -= {"length_normalization"}
    if named[NO_SINGLE_STEP]:  # the return then begins at the token itself
        others -= {"single_step", "return_from_next"}
    changes = [name for name, applies in named.items() if applies]
    return (*changes, *(f"{key} {objective[key]}" for key in sorted(others)))


def _training_runs(
    model: Model, items: Sequence[tuple[str, Result]]
) -> list[tuple[Model, dict[str, Result]]]:
    """The results of a model by file, in the order of seeds.

    Runs with the same seed, or with other settings of the training, are told apart by their names.
    """
    seeds = [result.training_seed for _, result in items]
    if len(set(seeds)) == len(seeds) and have_same_settings([x for _, x in items]):
        return [(model, dict(sorted(items, key=lambda item: item[1].training_seed or 0)))]
    by_run = defaultdict(list)
    for where, result in items:
        by_run[result.run_name].append((where, result))
    if len(by_run) == 1:
        (first, result), (second, _) = items[:2]
        raise InputError(
            f"two different results for {model.family} {model.size} {model.name}, data "
            f"{result.data!r}, run {result.run_name}: {first} and {second}. They have the same "
            f"training seed, or other settings. Give one of them, or evaluate one again with "
            f"student.family=NAME student.size=NAME."
        )
    return [
        pair
        for name, runs in by_run.items()
        for pair in _training_runs(replace(model, changes=(*model.changes, f"run {name}")), runs)
    ]
