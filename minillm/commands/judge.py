"""`minillm judge`: lets a language model score the responses of evaluated models.

RUN/evaluation/DATA.json          gets the metric `judge`, and the key `judge` with its details
RUN/evaluation/DATA.judge.jsonl   every judged response with its scores and the judge's answers
runs/judge_cache.jsonl            all answers of judges, so that nothing is asked twice
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minillm.config import JudgeConfig
from minillm.errors import InputError
from minillm.evaluation.result import FORMAT, to_text
from minillm.files import check_writable, json_lines, write_results
from minillm.judging.ask import Asking, Verdict
from minillm.judging.questions import Question
from minillm.judging.record import Job, how_judged, judged_content, judged_rows
from minillm.judging.responses import Responses, check_unchanged, read_responses
from minillm.judging.settings import judge_settings, with_model
from minillm.judging.table import scores_table
from minillm.reporting.results import locate_results
from minillm.servers.access import read_access
from minillm.servers.cache import Cache
from minillm.servers.client import Client
from minillm.servers.limits import BYTES_PER_TOKEN, Usage, check_limits
from minillm.servers.server import import_openai

log = logging.getLogger(__name__)


def judge_models(paths: Sequence[str], words: Sequence[str]) -> None:
    """Judge the responses of results, and write the scores into the results.

    Args:
        paths: runs, folders of runs, or result files.
        words: the settings `judge.NAME=VALUE`.

    Raises:
        InputError: an input is wrong, a limit is exceeded, or the server refuses the questions.
        ServerError: the server does not answer.
        Stopped: Ctrl-C was pressed.
        WriteError: a result could not be written.
    """
    settings = with_model(judge_settings(words))
    access = read_access()
    import_openai()
    jobs = plan_jobs(paths, settings)
    cache = Cache(Path(settings.cache), settings.section)
    try:
        asking = Asking(settings, Client(settings, access, cache))
        ask(asking, [question for job in jobs for question in job.questions])
        with cache.exclusive():
            for job in jobs:  # another command may have written since `plan_jobs`
                for responses in filter(None, (job.responses, job.against)):
                    check_unchanged(responses)
                _check_not_lost(job, settings)
            contents = [judged_content(job, settings, access, asking.verdicts) for job in jobs]
            for job, content in zip(jobs, contents, strict=True):
                write(job, content, asking.verdicts)
    finally:
        cache.close()
    warn_of_bad_answers(asking.verdicts)
    print(scores_table([job.responses for job in jobs], contents))


def plan_jobs(paths: Sequence[str], settings: JudgeConfig) -> list[Job]:
    """What there is to judge.

    Raises:
        InputError: a result or its responses cannot be used, or a result has the scores of another
            judge.
    """
    opponents = _read(settings.against and [settings.against], settings, "judge.against=")
    jobs = []
    for responses in _read(paths, settings):
        other = _opponent(responses, opponents, settings)
        pairs_against = responses.pairs_with(other) if other else {}
        jobs.append(Job(responses, responses.pairs(), other, pairs_against))
    for job in jobs:
        file = job.responses.file
        check_writable(
            file.parent, f"the folder {file.parent}", "Give results that may be changed."
        )
        _check_not_lost(job, settings)
    return jobs


def _read(paths: Sequence[str] | None, settings: JudgeConfig, name: str = "") -> list[Responses]:
    found = []
    for path in paths or ():
        for where, result in locate_results([Path(path)]).items():
            if not Path(where).is_file():
                raise InputError(
                    f"{name}{path} is a report, which has no responses. Give the runs."
                )
            found.append(read_responses(_short(Path(where)), result, settings))
    return list({responses.file.resolve(): responses for responses in found}.values())


def _short(file: Path) -> Path:
    """The path as seen from the working folder, if it is inside."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def _opponent(
    responses: Responses, opponents: Sequence[Responses], settings: JudgeConfig
) -> Responses | None:
    """The responses of `judge.against` on the same data."""
    if not opponents:
        return None
    same_data = [other for other in opponents if other.result.data == responses.result.data]
    same_name = [other for other in same_data if other.file.name == responses.file.name]
    fitting = same_name or same_data
    if len(fitting) != 1:
        raise InputError(
            f"judge.against={settings.against} has {len(fitting)} results on "
            f"{responses.result.data}, the data of {responses.file}. Give the file of one result."
        )
    if fitting[0].file.resolve() == responses.file.resolve():
        raise InputError(
            f"judge.against={settings.against} is also a result to judge: {responses.file}. Give "
            f"two different models."
        )
    return fitting[0]


def _check_not_lost(job: Job, settings: JudgeConfig) -> None:
    """Refuse a result of an old format, and a result with the scores of another judge."""
    content = json.loads(job.responses.file.read_text("utf-8"))
    if content["format"] != FORMAT:
        raise InputError(
            f"{job.responses.file} has the old format {content['format']}. Evaluate again with "
            f"overwrite=true."
        )
    old, new = content.get("judge"), how_judged(job, settings)
    if old is None or settings.overwrite:
        return
    changed = [f"{x} was {old.get(x)}, now {new[x]}" for x in new if old.get(x) != new[x]]
    if changed:
        raise InputError(
            f"{job.responses.file} has other scores of a judge, which are not overwritten: "
            f"{'; '.join(changed)}. Add judge.overwrite=true to replace them."
        )


def ask(asking: Asking, questions: Sequence[Question]) -> None:
    """Print the estimate, check the limits, and ask what the cache does not answer.

    Raises:
        InputError, ServerError, Stopped: see `judge_models`. The message says what is kept.
    """
    settings = asking.settings
    unanswered = asking.open_questions(questions)
    expected = asking.estimate(unanswered)
    log.info("%s", estimate_text(asking, len(unanswered), expected))
    check_limits(expected, settings, "the questions need about")
    if not unanswered:
        return
    try:
        asking.ask(unanswered)
    finally:
        log.info("used: about %s", asking.client.usage.text(settings))


def estimate_text(asking: Asking, unanswered: int, expected: Usage) -> str:
    """What the command will ask, and about what this uses."""
    settings, answered = asking.settings, len(asking.verdicts)
    text = (
        f"{settings.model} at {asking.client.access.address}: {answered + unanswered:,} questions"
    )
    if not unanswered:
        return f"{text}, all answered in {settings.cache}"
    return (
        f"{text}, of which {answered:,} are answered in {settings.cache}\nabout "
        f"{expected.text(settings)} ({BYTES_PER_TOKEN} bytes per token), and more after malformed "
        f"answers"
    )


def write(job: Job, content: Mapping[str, Any], verdicts: Mapping[Question, Verdict]) -> None:
    """Write the result, and the answers of the judge beside it."""
    file = job.responses.file
    lines = json_lines(judged_rows(job, verdicts))
    judged = file.with_suffix(".judge.jsonl")
    write_results({file: to_text(content).encode(), judged: lines.encode()})
    log.info("written: %s and %s", file, judged.name)


def warn_of_bad_answers(verdicts: Mapping[Question, Verdict]) -> None:
    """Say how many questions have no scores, with an example of an answer."""
    bad = [verdict for verdict in verdicts.values() if verdict.scores is None]
    if not bad:
        return
    last = bad[0].refusal or repr(bad[0].answers[-1].answer[:200])
    log.warning(
        "%d of %d questions have no scores, because all answers to them are malformed or the "
        "server refused them, for example: %s", len(bad), len(verdicts), last,
    )  # fmt: skip
