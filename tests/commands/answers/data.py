"""Data that cannot be read, and settings of data that do not go together."""

from tests.commands.answers.case import Case

CASES = [
    Case(
        "data data=jsonl data.path=nowhere",
        "minillm: there is no file or folder nowhere. Check data.path, data.train, "
        "data.validation and data.test.",
    ),
    Case(
        "data data=embedded data.validation_size=20",
        "minillm: data.validation_size=20 has no effect here: it is not used with "
        "data.kind=embedded. Leave data.validation_size out, or change data.kind.",
    ),
    Case(
        "data data=jsonl data.path=my_data data.validation=test.jsonl data.validation_size=20",
        "minillm: data.validation_size=20 has no effect here: it is not used with data.validation. "
        "Leave data.validation_size out, or change data.validation.",
    ),
    Case(
        "data data=jsonl data.path=my_data data.hold_out=first data.validation_size=30",
        "minillm: data.validation_size=30 leaves no training data: the training split has 30 rows. "
        "Set a smaller size.",
    ),
    Case(
        "data data=jsonl data.path=my_data data.max_length=256",
        "minillm: data.max_length=256 leaves no token for a response after a prompt of 256 tokens "
        "(data.max_prompt_length, data.max_teacher_prompt_length). Raise data.max_length, lower "
        "the limit of prompts, or set data.max_length=null.",
    ),
    Case(
        "data data=jsonl data.path=my_data data.validation_size=5 student.path=foreign "
        "data.max_prompt_length=2",
        "minillm: all 25 inputs are dropped: 25 prompts have more than data.max_prompt_length=2 "
        "tokens (the shortest of all has ...). Raise the limit.",
    ),
    Case(
        "data data=jsonl data.path=my_data data.template=chat data.columns.prompt=text",
        "minillm: data.columns.prompt=text names the column of ready prompts, but "
        "data.template=chat makes the prompts. Set data.template=ready, or leave "
        "data.columns.prompt out.",
    ),
    Case(
        "data prepare data=jsonl data.path=my_data student.path=foreign",
        "minillm: there is nothing to prepare. Give --output FOLDER for prompts and responses, or "
        "data.plain_text=FILE for plain text, or both.",
    ),
    Case(
        "data prepare data=jsonl data.path=my_data --output new",
        "minillm: no tokenizer is given: set student.path=FOLDER_OR_HUB_NAME as for the training, "
        "or student.tokenizer=FOLDER_OR_HUB_NAME.",
    ),
    Case(
        "data prepare data=jsonl data.path=my_data student.path=foreign --output my_data",
        "minillm: --output my_data holds files of something else (test.jsonl, train.jsonl), so "
        "nothing is written there. Give a new folder.",
    ),
    Case(
        "data prepare data=jsonl data.path=my_data student.path=foreign data.plain_text=corpus.txt",
        "minillm: data.plain_text=corpus.txt is not read with method.lm_coef=0. Give the settings "
        "of the training, such as experiment=paper/minillm, or leave data.plain_text out.",
    ),
    Case(
        "data prepare data=jsonl data.path=my_data student.path=foreign --output new --workers 0",
        "minillm: --workers 0 is not allowed: it must be at least 1.",
    ),
    Case(
        "data prepare data=dolly student.path=foreign --output new",
        "minillm: the file 'valid.jsonl' of the data set 'MiniLLM/dolly' could not be loaded, "
        "because it is not in the cache, and the Hub is not used: HF_HUB_OFFLINE is set, or the "
        "Hub cannot be reached. Run `minillm data` with the same settings once on a machine with a "
        "network and this cache. Or run `minillm data prepare` there, and give its folder: "
        "data=paper data.path=FOLDER data.validation=validation.jsonl.",
        variables=(("HF_HUB_OFFLINE", "1"),),
    ),
    Case(
        "data prepare data=vicuna student.path=foreign --output new",
        "minillm: data.name=vicuna has only a test split (data.test_only=true), so that there is "
        "no training to prepare. Name other data, such as data=dolly.",
    ),
    Case(
        "train method=sft data=vicuna student.path=foreign output=new",
        "minillm: data.name=vicuna has only a test split (data.test_only=true), but this command "
        "reads the training data. Name other data, such as data=dolly.",
    ),
    Case(
        "data data=vicuna data.kind=jsonl data.path=my_data data.test=test.jsonl",
        "minillm: no tokenizer is named, and data.name=vicuna has no training split from which a "
        "tokenizer could be trained (data.test_only=true). Add student.path=FOLDER_OR_HUB_NAME or "
        "student.tokenizer=FOLDER_OR_HUB_NAME.",
    ),
    Case(
        "evaluate runs/teacher data.min_reference_length=6 data.max_reference_length=5",
        "minillm: data.min_reference_length=6 is above data.max_reference_length=5, so that no "
        "test input is left. Lower the minimum, or raise the maximum.",
    ),
    Case(
        "evaluate runs/teacher evaluation.exposure_samples=10",
        "minillm: evaluation.exposure_samples=10 needs responses of one teacher model, but "
        "teacher.kind=local and teacher.path=null. Add teacher.kind=local "
        "teacher.path=FOLDER_OR_HUB_NAME, or leave the setting out.",
    ),
    Case(
        "evaluate runs/teacher evaluation.metrics=[accuracy,ece]",
        "minillm: evaluation.metrics: accuracy and ece need label words, but data.labels is empty. "
        "Add data=sst2 or data=boolq, or set data.labels, such as data.labels.0=negative "
        "data.labels.1=positive.",
    ),
    Case(
        "evaluate runs/teacher data.instruction=Rate. data.columns.instruction=text",
        "minillm: data.instruction=Rate. is the instruction of all rows, but "
        "data.columns.instruction=text names a column of instructions. Leave one of them out.",
    ),
    Case(
        "evaluate runs/teacher data.labels.0=no",
        "minillm: data.labels={'0': 'no'} is not allowed: give at least two different label words, "
        "such as data.labels.0=negative data.labels.1=positive.",
    ),
    Case(
        "train experiment=paper/minillm data.path=my_data student.path=foreign "
        "teacher.path=foreign output=new",
        "minillm: method.lm_coef=1.0 adds the loss L_PT, which needs a corpus of plain text. Add "
        "data.plain_text=FILE (text with one document per line, or .jsonl), or train without L_PT: "
        "method.lm_coef=0.",
    ),
    Case(
        "train experiment=paper/minillm data.path=my_data student.path=foreign "
        "teacher.path=foreign output=new data.plain_text=my_data/corpus.txt",
        "minillm: there is no file my_data/corpus.txt. Check data.plain_text.",
    ),
]
