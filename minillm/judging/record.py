"""What a result file says about a judge: how it was asked, its answers, and the scores."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from minillm.config import JudgeConfig
from minillm.evaluation.judge_metric import JUDGE
from minillm.judging.ask import Verdict
from minillm.judging.questions import PROMPT_VERSION, Pair, Question
from minillm.judging.responses import GREEDY, Pass, Responses
from minillm.judging.scores import judge_metric, score_array, score_summary, win_summary
from minillm.runs import provenance
from minillm.servers.access import Access


@dataclass(frozen=True)
class Job:
    """A result to judge: its pairs with references, and with the responses of another model.

    Attributes:
        responses: the responses of the result.
        pairs: pairs of a response and a reference.
        against: the responses of the other model, or None.
        pairs_against: pairs of a response and that of the other model; empty without it.
    """

    responses: Responses
    pairs: Mapping[Pass, Sequence[Pair]]
    against: Responses | None
    pairs_against: Mapping[Pass, Sequence[Pair]]

    @property
    def questions(self) -> list[Question]:
        """All questions, in both orders."""
        passes = chain(self.pairs.values(), self.pairs_against.values())
        return [question for pairs in passes for pair in pairs for question in pair.questions]

    @property
    def seeds(self) -> list[Pass]:
        """The sampling seeds that are judged."""
        return [key for key in self.pairs if key != GREEDY]


def how_judged(job: Job, settings: JudgeConfig) -> dict[str, Any]:
    """The settings on which the scores of a result depend."""
    return {
        "model": settings.model,
        "prompt_version": PROMPT_VERSION,
        "temperature": settings.temperature,
        "seed": settings.seed,
        "max_tokens": settings.max_tokens,
        "body": settings.body,
        "repeats": settings.repeats,
        "seeds": job.seeds,
        "greedy": settings.greedy,
        "inputs": len(next(iter(job.pairs.values()))),
    }


def judged_content(
    job: Job, settings: JudgeConfig, access: Access, verdicts: Mapping[Question, Verdict]
) -> dict[str, Any]:
    """The content of the result file, with the scores.

    Win rates against other models, which an earlier command has added, are kept.
    """
    content = json.loads(job.responses.file.read_text("utf-8"))
    passes = [job.pairs[seed] for seed in job.seeds]
    metric = judge_metric(
        passes, [str(seed) for seed in job.seeds], verdicts, job.pairs.get(GREEDY),
        job.responses.result.inputs,
    )  # fmt: skip
    values = metric and asdict(metric)
    if values:
        del values["greedy_per_input"]
    content["metrics"][JUDGE] = values
    how, old = how_judged(job, settings), content.get("judge") or {}
    is_same = all(old.get(key) == how[key] for key in how)
    against = dict(old.get("against") or {}) if is_same else {}
    if job.against:
        passes_against = [job.pairs_against[seed] for seed in job.seeds]
        wins = win_summary(score_array(passes_against, verdicts))
        against[_name_of(job.against.file, job.responses.file)] = {
            "method": job.against.result.method
        } | wins
    content["judge"] = {
        **how,
        **answer_summary(job, access, verdicts),
        **score_summary(score_array(passes, verdicts)),
        "against": against,
        "provenance": provenance(),
    }
    return content


def _name_of(other: Path, file: Path) -> str:
    """The path of another result as seen from the folder of this one.

    It does not depend on the working folder, and stays right if both runs are moved together.
    """
    return Path(os.path.relpath(other.resolve(), file.resolve().parent)).as_posix()


def answer_summary(
    job: Job, access: Access, verdicts: Mapping[Question, Verdict]
) -> dict[str, Any]:
    """Where the answers come from, and how many of them could be used."""
    of_job = [verdicts[question] for question in dict.fromkeys(job.questions)]
    answers = [answer for verdict in of_job for answer in verdict.answers]
    return {
        "server": access.address,
        "answered_by": sorted({answer.model for answer in answers if answer.model}),
        "questions": len(of_job),
        "answers": len(answers),
        "malformed_answers": sum(verdict.malformed for verdict in of_job),
        "questions_without_scores": sum(verdict.scores is None for verdict in of_job),
        "refused_questions": sum(verdict.refusal is not None for verdict in of_job),
        "input_tokens": sum(answer.input_tokens or 0 for answer in answers),
        "output_tokens": sum(answer.output_tokens or 0 for answer in answers),
    }


def judged_rows(job: Job, verdicts: Mapping[Question, Verdict]) -> list[dict[str, Any]]:
    """Each pair with its scores and the answers of the judge: the lines of the jsonl file."""
    rows = []
    for name, passes in (("reference", job.pairs), ("opponent", job.pairs_against)):
        for seed, pairs in passes.items():
            for pair in pairs:
                asked = [verdicts[question] for question in pair.questions]
                rows.append(
                    {"seed": seed, "task": pair.task, "response": pair.response, name: pair.other}
                    | {
                        order: {
                            "scores": verdict.scores,
                            "answers": [answer.answer for answer in verdict.answers],
                        }
                        for order, verdict in zip(("first", "second"), asked, strict=True)
                    }
                )
    return rows
