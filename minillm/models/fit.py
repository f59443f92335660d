"""Checks that student and teacher have the same tokenizer; padded vocabularies may differ."""

import logging
from dataclasses import replace

from transformers import PreTrainedTokenizerBase

from minillm.errors import InputError
from minillm.models.language_model import LanguageModel

log = logging.getLogger(__name__)


def check_tokenizers(student: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase) -> None:
    """Check that two tokenizers assign the same ids to the same tokens and have the same EOS.

    Raises:
        InputError: the tokenizers differ; the message lists the differences.
    """
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
    if differences:
        raise InputError(
            "the student's and the teacher's tokenizers differ (student against teacher): "
            + "; ".join(differences)
            + ". Token-level distillation needs one tokenizer. Use models of one family, or train "
            "the student with student.tokenizer set to the teacher's tokenizer."
        )


def fit(student: LanguageModel, teacher: LanguageModel) -> tuple[LanguageModel, LanguageModel]:
    """Student and teacher with the vocabulary of their tokenizer, without padded output rows.

    Raises:
        InputError: the tokenizers differ.
    """
    check_tokenizers(student.tokenizer, teacher.tokenizer)
    rows = [model.module.get_output_embeddings().weight.shape[0] for model in (student, teacher)]
    if rows[0] != rows[1]:
        log.info(
            "the numbers of output rows differ (student %d, teacher %d): both are cut to the "
            "tokenizer's %d",
            *rows,
            student.vocab_size,
        )
    # The EOS ids of the student end a response; the teacher scores the same tokens.
    return student, replace(teacher, vocab_size=student.vocab_size, eos_ids=student.eos_ids)
