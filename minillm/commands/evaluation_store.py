"""The store of an evaluation: which parts of an earlier evaluation are those of this one."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from minillm.adapter_paths import adapter_base
from minillm.commands.evaluation_jobs import PRECISION, Job
from minillm.config import Config
from minillm.data.encoding import Example
from minillm.evaluation.store import Store
from minillm.models.checksum import weights_checksum
from minillm.models.language_model import LanguageModel
from minillm.processes import from_main

# Settings of a model that only say where the model is, and what tables call it.
_NAMES = {"path", "revision", "tokenizer", "members", "family", "size"}


def open_store(job: Job, model: LanguageModel, examples: Sequence[Example]) -> Store:
    """The parts of the loaded model of `job`, in a folder beside its result file.

    With `overwrite=true`, the parts of an earlier evaluation are not read.

    Raises:
        InputError: the weights of a model are gone.
    """
    made_with = from_main(partial(_made_with, job.config, model, examples))
    return Store(job.file.with_suffix(""), made_with, reuse=not job.config.overwrite)


def _made_with(config: Config, model: LanguageModel, examples: Sequence[Example]) -> str:
    """A checksum of weights, shape, prompts as token ids, precision and maximum length."""
    student, teacher = asdict(config.student), asdict(config.teacher)
    models = [(config.student.path, config.student.revision)]
    models += [(model.path, model.revision) for model in (config.teacher, *config.teacher.members)]
    models += [(path and adapter_base(path), None) for path, _ in models]
    content = {
        "weights": [path and weights_checksum(path, revision) for path, revision in models],
        "settings": [
            {name: value for name, value in model.items() if name not in _NAMES}
            for model in (student, teacher)
        ],
        "members": [{**asdict(x), "path": None, "revision": None} for x in config.teacher.members],
        "shape": model.module.config.to_diff_dict(),
        "eos_ids": sorted(model.eos_ids),
        "precision": [getattr(config.runtime, name) for name in PRECISION],
        "max_length": config.data.max_response_length,
        "prompts": [[x.prompt_ids, x.teacher_prompt_ids] for x in examples],
    }
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:16]
