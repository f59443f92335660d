"""Checks that student and teacher have the same tokenizer; padded vocabularies may differ."""

import logging
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from minillm.errors import InputError
from minillm.models.language_model import LanguageModel

log = logging.getLogger(__name__)


def tokenizer_differences(
    student: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase
) -> list[str]:
    """How two tokenizers differ in the meaning of their ids, student against teacher; [] if not."""
    differences = []
    student_vocab, teacher_vocab = student.get_vocab(), teacher.get_vocab()
    if len(student_vocab) != len(teacher_vocab):
        differences.append(f"{len(student_vocab)} tokens against {len(teacher_vocab)}")
    differing_tokens = sorted(
        token
        for token in student_vocab.keys() | teacher_vocab.keys()
        if student_vocab.get(token) != teacher_vocab.get(token)
    )
    if differing_tokens:
        shown = ", ".join(
            f"{token!r} ({student_vocab.get(token)} against {teacher_vocab.get(token)})"
            for token in differing_tokens[:3]
        )
        count = len(differing_tokens)
        differences.append(f"{count} tokens have another id or no id, such as {shown}")
    if student.eos_token != teacher.eos_token:
        differences.append(f"EOS {student.eos_token!r} against {teacher.eos_token!r}")
    return differences


def check_tokenizers(student: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase) -> None:
    """Refuse two tokenizers that do not give the same ids the same meaning.

    Raises:
        InputError: saying how they differ.
    """
    differences = tokenizer_differences(student, teacher)
    if differences:
        raise InputError(
            "the student's and the teacher's tokenizers differ (student against teacher): "
            + "; ".join(differences)
            + ". Token-level distillation needs one tokenizer: use models of one family, train "
            "the student with student.tokenizer set to the teacher's, or take method=seqkd."
        )


def fit(student: LanguageModel, teacher: LanguageModel) -> LanguageModel:
    """The teacher with the student's vocabulary, cut to the tokenizer's tokens if it is padded.

    Their tokenizers must be the same.
    """
    rows = [model.module.get_output_embeddings().weight.shape[0] for model in (student, teacher)]
    if rows[0] != rows[1]:
        log.info(
            "the numbers of output rows differ (student %d, teacher %d): both are cut to the "
            "tokenizer's %d",
            *rows,
            student.vocab_size,
        )
    # The student's EOS tokens end a response; the teacher scores the same tokens.
    return replace(teacher, vocab_size=student.vocab_size, eos_ids=student.eos_ids)
