"""What `minillm export` and `minillm chat` refuse, and models of the Hub without a network."""

from tests.commands.answers.case import Case

CASES = [
    Case(
        "export runs/teacher",
        "minillm: export takes a model and a new folder, but 1 words without `=` are given. Write "
        "minillm export MODEL OUTPUT.",
    ),
    Case(
        "export runs/teacher my_data",
        "minillm: my_data is not empty, so nothing is written there. Give a new folder.",
    ),
    Case(
        "export runs/teacher new --dtype int8",
        "minillm: argument --dtype: invalid choice: 'int8' (choose from ...",
    ),
    Case(
        "export nan new",
        "minillm: nan: ... Use another checkpoint of the model.",
        note="a weight is NaN",
    ),
    Case(
        "export runs/teacher new --push owner/name",
        "minillm: --push owner/name needs the Hub, which is not used: HF_HUB_OFFLINE is set, or "
        "the Hub cannot be reached. Leave --push out, and upload the folder later with `hf "
        "upload`.",
        variables=(("HF_HUB_OFFLINE", "1"),),
    ),
    Case(
        "export runs/teacher new --push a/b/c",
        "minillm: --push a/b/c: ... Give OWNER/NAME.",
    ),
    Case(
        "chat",
        "minillm: no model is given. Give the folder of a run, the folder of a model, or a Hub "
        "name.",
    ),
    Case(
        "chat runs/teacher foreign moved",
        "minillm: chat takes one or two models, but 3 are given: runs/teacher, foreign, moved. "
        "Give the model, and another one to compare it with.",
    ),
    Case(
        "chat runs/teacher --top-p 0",
        "minillm: top-p 0.0 is not allowed: it must be above 0 and at most 1.",
    ),
    Case(
        "chat foreign data.template=chat --max-tokens 0",
        "minillm: max-tokens 0 is not allowed: it must be 1 or more.",
    ),
    Case(
        "generate owner/model student.revision=v1 --prompt Hi",
        "minillm: no tokenizer could be loaded from owner/model (not a folder, so used as a Hub "
        "name): it is not in the cache, and the Hub is not used: HF_HUB_OFFLINE is set, or the Hub "
        "cannot be reached. If owner/model is a Hub name, run `hf download owner/model --revision "
        "v1` on a machine with a network and this cache. Give a folder that holds tokenizer.json, "
        "or a Hub name.",
        variables=(("HF_HUB_OFFLINE", "1"),),
    ),
    Case(
        "chat foreign student.revision=v1",
        "minillm: student.revision=v1 is not allowed with student.path=foreign, which is a folder: "
        "only Hub names have revisions. Leave the revision out.",
    ),
    Case(
        "train experiment=embedded/init output=new student.revision=v1",
        "minillm: student.revision=v1 is not allowed with student.architecture=gpt2: only Hub "
        "names have revisions. Set student.path=HUB_NAME, or leave the revision out.",
    ),
]
