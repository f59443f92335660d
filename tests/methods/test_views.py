"""Views of an example: student and teacher may have different prompts and tokenizers."""

import json
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from minillm.commands import loading
from minillm.commands.resume import run_identity
from minillm.config import Config, DataConfig
from minillm.data.batches import PromptBatch
from minillm.data.encoding import encode
from minillm.data.records import Record
from minillm.data.tokenizers import train_tokenizer
from minillm.sampling.sampler import Decoding, sample
from minillm.sources.pairs import Pair, pad_pairs
from minillm.teachers import LocalTeacher
from tests.conftest import BUILT, rows, write_jsonl
from tests.tiny import log_prob_table, response_logits, tiny_model

RECORDS = [
    Record("Name a colour", ("red",), id="first"),
    Record("Name another", ("blue", "green"), teacher_prompt="Say blue:"),
]


def config(**changes) -> DataConfig:
    return DataConfig(template="plain", max_prompt_length=64, **changes)


def test_by_default_the_teacher_reads_the_students_prompt():
    tokenizer = train_tokenizer(["Name a colour red blue"], 300)
    first, *_ = encode([RECORDS[0]], tokenizer, config()).examples
    assert first.id == "first" and first.teacher_prompt_ids is None


def test_the_teachers_prompt_comes_from_the_record_or_from_its_template():
    tokenizer = train_tokenizer(["Name a colour red blue"], 300)
    data = config(teacher_template="demonstration")
    texts = [
        tokenizer.decode(example.teacher_prompt_ids)
        for example in encode(RECORDS, tokenizer, data).examples
    ]
    assert texts[0].startswith("Name a colour\n") and "good response:\nred\n" in texts[0]
    assert texts[1] == "Say blue:"
    assert len({example.id for example in encode(RECORDS, tokenizer, data).examples}) == 2


def test_a_teacher_with_another_tokenizer_reads_its_own_chat_template():
    student, teacher = (train_tokenizer(["Name a colour"], size) for size in (300, 310))
    student.chat_template = "<user>{{ messages[0].content }}<student>"
    teacher.chat_template = "[U]{{ messages[0].content }}[T]"
    data = DataConfig(template="chat", max_prompt_length=64)
    first, second = encode(RECORDS, student, data, teacher).examples
    assert student.decode(first.prompt_ids) == "<user>Name a colour<student>"
    assert teacher.decode(first.teacher_prompt_ids) == "[U]Name a colour[T]"
    assert teacher.decode(second.teacher_prompt_ids) == "Say blue:"


def test_another_tokenizer_of_the_teacher_drops_no_input_of_the_test_split(monkeypatch):
    """The teacher's tokenizer has only bytes, so its prompts are longer than the limit."""
    student = train_tokenizer(["Name a colour Name a colour"] * 9, 300)
    teacher = train_tokenizer(["x"], 300)
    monkeypatch.setattr(loading, "teacher_tokenizer", lambda *_: teacher)
    data = DataConfig(template="plain", max_prompt_length=13)
    records = {"train": [Record("Name a colour", ("a",)), Record("x", ("x",))]}
    records["test"] = records["train"]
    encoded = loading.encode_splits(records, student, Config(data=data))
    assert {split: x.dropped_prompts for split, x in encoded.items()} == {"train": 1, "test": 0}


def test_the_checksum_of_the_training_data_has_all_views():
    tokenizer = train_tokenizer(["Name a colour red blue"], 300)
    checksums = set()
    for data in (config(), config(teacher_template="demonstration")):
        examples = encode([RECORDS[0]], tokenizer, data).examples
        identity = run_identity(Config(), examples, Accelerator(cpu=True))
        checksums.add(identity["training_data"])
    assert len(checksums) == 2


def test_long_prompts_of_the_teacher_are_dropped_by_their_own_limit():
    tokenizer = train_tokenizer(["Name a colour red blue"], 300)
    data = config(teacher_template="demonstration", max_teacher_prompt_length=12)
    encoded = encode(RECORDS, tokenizer, data)
    assert [example.prompt for example in encoded.examples] == ["Name another\n"]
    assert encoded.dropped_prompts == 1


def test_the_teacher_scores_the_responses_after_its_own_prompts():
    teacher = tiny_model(2)
    pairs = [Pair([1], [2, 0], [3, 3, 1]), Pair([2, 3, 1], [1, 3, 0], [1])]
    batch = pad_pairs(pairs, 0).select(torch.tensor([1, 0]))
    targets = LocalTeacher(teacher).score(batch.teacher_sequences).targets
    logits = targets.head.logits(targets.hidden)
    for row, pair in enumerate(reversed(pairs)):
        alone = pad_pairs([Pair(pair.teacher_prompt_ids, pair.response_ids)], 0).sequences
        length = len(pair.response_ids)
        torch.testing.assert_close(logits[row, :length], response_logits(teacher, alone)[0])


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_the_mixture_has_views(alpha):
    """Each model scores the responses after its own prompts. New prompts replace ended rows."""
    student, teacher = tiny_model(1), tiny_model(2)
    prompts = [[1], [2, 3, 1], [3], [1, 2]] * 3
    teacher_prompts = [[3, 3, 1], [2], [1, 3, 2, 1, 2], [3]] * 3
    rollout = sample(
        student, PromptBatch.pad(prompts, 0), Decoding(5), teacher=teacher, alpha=alpha,
        teacher_prompts=PromptBatch.pad(teacher_prompts, 0), batch_size=4,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    responses = zip(rollout.sequences.response_ids, rollout.mask.bool(), strict=True)
    for row, (ids, mask) in enumerate(responses):
        for model, view, log_probs in (
            (student, prompts, rollout.student_log_probs),
            (teacher, teacher_prompts, rollout.teacher_log_probs),
        ):
            alone = pad_pairs([Pair(view[row], ids[mask].tolist())], 0).sequences
            torch.testing.assert_close(log_probs[row, mask], log_prob_table(model, alone)[0])


@pytest.fixture
def other(command, settings):
    """A teacher with another tokenizer."""
    options = [*settings, *BUILT, "student.vocab_size=310", "training.steps=1", "output=other"]
    assert command("train", *options).status == 0
    return "other/best"


def test_seqkd_and_evaluation_work_across_tokenizers(command, settings, teacher, other, caplog):
    """The student's tokenizer encodes the texts again, and no code compares tokens."""
    outcome = command(
        "train", *settings, "method=seqkd", f"student.path={teacher}/best", f"teacher.path={other}",
        "method.file=seqkd.jsonl", "output=out", "data.tokenize=joint", "data.max_length=40",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert "the teacher's tokenizer differs from the student's: 300 tokens" in caplog.text
    outcome = command("evaluate", "out", "evaluation.seeds=[1]")
    assert outcome.status == 0, outcome.err
    result = json.loads(Path("out/evaluation/tiny.json").read_text())
    assert "reverse_kl" not in json.dumps(result) or result.get("reverse_kl") is None


@pytest.mark.parametrize("method", ["kd", "gkd", "minillm", "hidden_states"])
def test_token_level_methods_refuse_another_tokenizer(refused, teacher, other, method):
    message = refused(
        f"method={method}",
        f"student.path={teacher}/best",
        f"teacher.path={other}",
    )
    assert "tokenizers differ" in message and "method=seqkd" in message


def test_self_distillation_with_more_context(command, settings, teacher):
    """The student is its own teacher; the teacher's prompt contains the answer."""
    lines = [row | {"teacher_prompt": f"{row['output']}"[:12]} for row in rows()]
    write_jsonl(Path("train.jsonl"), lines)
    outcome = command(
        "train", *settings, "method=gkd", f"student.path={teacher}/best", "data.path=.",
        f"teacher.path={teacher}/best", "output=out",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    metrics = [json.loads(line) for line in Path("out/metrics.jsonl").read_text().splitlines()]
    assert metrics[1]["loss/jsd"] > 1e-6  # 0 if both read the same prompt
