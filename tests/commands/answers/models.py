"""Models that training or the sampler would read wrongly."""

from tests.commands.answers.case import Case
from tests.commands.answers.results import DATA

ANSWER = (
    "minillm: bert_decoder (BertLMHeadModel) changes its last hidden states before the output "
    "head, or does not count positions from 0, so that the sampler would draw from another "
    "distribution. Use a model whose output head reads the last hidden states."
)
CASES = [
    Case(
        f"train method=sft student.path=bert_decoder {DATA}",
        ANSWER,
        note="BERT as a decoder has further layers before its output head",
    ),
    Case(f"train method=kd student.path=foreign teacher.path=bert_decoder {DATA}", ANSWER),
]
