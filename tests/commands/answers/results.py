"""Input that would give wrong results without a word: data, models and folders."""

from tests.commands.answers.case import Case

NO_DATA = (
    "no data set is named. Add data=jsonl data.path=FOLDER for your own data, or data=boolq, ... "
    "or vicuna."
)
MODELS = "student.path=runs/teacher/best teacher.path=runs/teacher/best"
DATA = (
    "data=jsonl data.path=my_data data.validation_size=5 data.template=plain "
    "data.max_prompt_length=32 data.max_response_length=8"
)

CASES = [
    Case(f"train method=minillm {MODELS}", f"minillm: {NO_DATA}"),
    Case(
        f"train method=minillm {MODELS} data.path=my_data",
        f"minillm: data.path=my_data is set, but {NO_DATA}",
    ),
    Case("data", f"minillm: {NO_DATA}"),
    Case("evaluate foreign", f"minillm: {NO_DATA}", note="a model that minillm did not train"),
    Case(
        "evaluate moved",
        "minillm: there is no file or folder data.path=/.../old_data, which holds the test inputs "
        "for moved. Give the place of these data (data.path=PATH), or name other data, such as "
        "data=jsonl data.path=PATH.",
        note="the best model of a run, copied to another folder, whose data are gone",
    ),
    Case(
        f"train method=sft student.path=nan {DATA}",
        "minillm: nan: 1 of 16 numbers in transformer.ln_f.weight are NaN or infinite. Use another "
        "checkpoint of the model.",
        note="the student has a weight that is NaN",
    ),
    Case(
        f"train method=sft student.path=bert {DATA}",
        "minillm: bert (BertLMHeadModel) is not a causal language model: its logits depend on "
        "later tokens. Use a model that reads from left to right.",
        note="a bidirectional model",
    ),
    Case(
        f"train method=kd student.path=foreign teacher.path=bert {DATA}",
        "minillm: bert (BertLMHeadModel) is not a causal language model: ...",
        note="a bidirectional teacher",
    ),
]
