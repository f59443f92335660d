"""Files whose format or columns cannot be read, and conversations."""

import json
from pathlib import Path

from tests.commands.answers.case import Case

USER, ASSISTANT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
ROWS = {
    "questions": {"question": "Who?", "answer": "I"},
    "completions": {"prompt": "Who?", "completion": "I"},
    "ready": {"prompt": "Who?", "output": "I"},
    "instructions": {"instruction": "Who?", "output": "I"},
    "responses": {"instruction": "Who?", "response": "I"},
    "preferences": {"chosen": [USER, ASSISTANT], "rejected": [USER, ASSISTANT]},
    "texts": {"text": "Who? I"},
    "turns": {"messages": [USER, ASSISTANT, USER, ASSISTANT]},
    "no_response": {"messages": [ASSISTANT, USER]},
    "two_responses": {"messages": [USER, ASSISTANT], "output": "Hello"},
    "tools": {"messages": [USER, {"role": "tool", "content": "3"}]},
    "keys": {"messages": [USER, {"speaker": "assistant", "text": "Hello"}]},
    "parts": {"messages": [USER, {"role": "assistant", "content": [{"type": "text"}]}]},
    "empty_turn": {"messages": [USER, {"role": "assistant", "content": " "}]},
    "text_of_messages": {"messages": "Hi"},
}
NOTES = {
    "array.jsonl": "the file is a JSON array",
    "lines.json": "the file has one object per line",
    "text.parquet": "the file is a text",
    "notes.txt": "the file is a text",
    "comma.csv": "line 2 is `Name two colours.,red, yellow`",
    "columns.csv": "line 1 is `instruction,output,output`",
    "nested.jsonl": "line 1 has 100000 brackets",
    "digits.json": "the file is a number of 5000 digits",
}


def write_files(folder: Path) -> None:
    """One file per row of `ROWS`, an array, and files that are not of their format."""
    folder.mkdir()
    for name, row in ROWS.items():
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "array.jsonl").write_text(json.dumps([ROWS["questions"]]))
    (folder / "lines.json").write_text("{}\n{}\n")
    (folder / "text.parquet").write_text("instruction,output\n")
    (folder / "notes.txt").write_text("Who?\n")
    (folder / "comma.csv").write_text("instruction,output\nName two colours.,red, yellow\n")
    (folder / "columns.csv").write_text("instruction,output,output\nWho?,I,you\n")
    (folder / "nested.jsonl").write_text("[" * 100_000)
    (folder / "digits.json").write_text("9" * 5000)


def case(name: str, answer: str, kind: str = "chat", settings: str = "") -> Case:
    """The command that shows the data of a file in the folder `formats`, and its answer."""
    row = ROWS.get(Path(name).stem)
    note = f"the row: `{json.dumps(row)}`" if row else NOTES[name]
    return Case(f"data data={kind} data.path=formats/{name}{settings}", answer, note=note)


def missing(template: str, column: str = "instruction") -> str:
    """The start of the answer to a row without the column that the template needs."""
    return f"line 1: {column!r} is missing or empty, and data.template={template} needs this column"


READY = " data.template=ready"

CASES = [
    case(
        "questions.jsonl",
        f"minillm: formats/questions.jsonl, {missing('alpaca')}. The columns of the row are "
        "'question', 'answer'. Correct the row, or set data.columns.instruction=question "
        "data.columns.references=answer to read 'question' and 'answer'.",
        kind="files",
    ),
    case(
        "completions.jsonl",
        f"minillm: formats/completions.jsonl, {missing('alpaca')}. The columns of the row are "
        "'prompt', 'completion'. Correct the row, or set data.columns.instruction=prompt "
        "data.columns.references=completion to apply data.template=alpaca to 'prompt', or "
        "data.template=ready data.columns.references=completion to read 'prompt' as the ready "
        "prompt.",
        kind="files",
    ),
    case(
        "ready.jsonl",
        f"minillm: formats/ready.jsonl, {missing('chat')}. The columns of the row are 'prompt', "
        "'output'. Correct the row, or set data.columns.instruction=prompt to apply "
        "data.template=chat to 'prompt', or data.template=ready to read 'prompt' as the ready "
        "prompt.",
    ),
    case(
        "instructions.jsonl",
        f"minillm: formats/instructions.jsonl, {missing('ready', 'prompt')}. ... Correct the row, "
        "or set data.template=alpaca, plain or chat to make prompts of 'instruction'.",
        kind="files",
        settings=READY,
    ),
    case(
        "turns.jsonl",
        f"minillm: formats/turns.jsonl, {missing('ready', 'prompt')}. ... Correct the row, or set "
        "data.template=chat to read the conversation in 'messages'.",
        kind="files",
        settings=READY,
    ),
    case(
        "ready.jsonl",
        "minillm: formats/ready.jsonl, line 1: data.teacher_template=demonstration needs an "
        "instruction, but 'instruction' is missing or empty. ...",
        kind="files",
        settings=f"{READY} data.teacher_template=demonstration",
    ),
    case(
        "responses.jsonl",
        "minillm: formats/responses.jsonl, line 1: the field 'output' is missing or null. ... "
        "Correct the row, or set data.columns.references=response to read 'instruction' and "
        "'response'.",
        kind="files",
    ),
    case(
        "preferences.jsonl",
        f"minillm: formats/preferences.jsonl, {missing('chat')}. ... Correct the row, or set "
        "data.columns.messages=chosen to read the conversation in 'chosen'.",
    ),
    case(
        "texts.jsonl",
        f"minillm: formats/texts.jsonl, {missing('alpaca')}. The columns of the row are 'text'. "
        "Correct the row, or divide 'text' into 'prompt' and 'output'.",
        kind="files",
    ),
    case(
        "turns.jsonl",
        "minillm: formats/turns.jsonl, line 1: the prompt is a conversation of 3 messages (user, "
        "assistant, user), but the template alpaca renders one message of the user, with or "
        "without a system message before it. Set data.template=chat, which needs a tokenizer with "
        "a chat template.",
        kind="files",
    ),
    case(
        "no_response.jsonl",
        "minillm: formats/no_response.jsonl, line 1: 'messages' holds no message of the assistant "
        "after a message of the user, so that there is no response. ...",
    ),
    case(
        "two_responses.jsonl",
        "minillm: formats/two_responses.jsonl, line 1: the response is in 'output', so that the "
        "last message of 'messages' must be the user's, not the assistant's. ...",
    ),
    case(
        "tools.jsonl",
        "minillm: formats/tools.jsonl, line 1: message 2 of 'messages' has the role 'tool'. "
        "Allowed: system, user, assistant, human, gpt. Calls of tools cannot be read. ...",
    ),
    case(
        "keys.jsonl",
        "minillm: formats/keys.jsonl, line 1: message 2 of 'messages' is the object "
        "{'speaker': 'assistant', 'text': 'Hello'}, but a message is an object with 'role' and "
        "'content', or with 'from' and 'value'. ...",
    ),
    case(
        "parts.jsonl",
        "minillm: formats/parts.jsonl, line 1: the content of message 2 of 'messages' must be a "
        "text, not list. ...",
    ),
    case(
        "empty_turn.jsonl",
        "minillm: formats/empty_turn.jsonl, line 1: message 2 of 'messages' (role 'assistant') is "
        "empty. ...",
    ),
    case(
        "text_of_messages.jsonl",
        "minillm: formats/text_of_messages.jsonl, line 1: 'messages' must be a list of at least "
        'one message, such as {"role": "user", "content": "Hi"}. ...',
    ),
    case(
        "array.jsonl",
        "minillm: formats/array.jsonl, line 1: the value is a list. If the file is one JSON array "
        "of objects, set data.kind=json.",
    ),
    case(
        "lines.json",
        "minillm: formats/lines.json, line 2: not valid JSON (Extra data at column 1). The file "
        "must be one JSON array of objects. For one object per line, set data.kind=jsonl.",
    ),
    case(
        "text.parquet",
        "minillm: formats/text.parquet is not a valid parquet file: ... Give another file.",
    ),
    case(
        "comma.csv",
        "minillm: formats/comma.csv, line 2: the row has 3 fields, but the first line names 2 "
        'columns. Put quotes around a text that contains a comma, such as "red, yellow".',
    ),
    case(
        "columns.csv",
        "minillm: formats/columns.csv, line 1: the column 'output' occurs more than once. Rename "
        "or remove all but one of these columns.",
    ),
    case(
        "nested.jsonl",
        "minillm: formats/nested.jsonl, line 1: the lists and objects are nested too deeply. ...",
    ),
    case(
        "digits.json",
        "minillm: formats/digits.json: the JSON cannot be read (Exceeds the limit ... ...). The "
        "file must be one JSON array of objects. ...",
    ),
    case(
        "notes.txt",
        "minillm: the ending of formats/notes.txt does not say which format the file has. Known "
        "endings: .jsonl, .json, .csv, .parquet. Rename the file, or name the format, such as "
        "data.kind=jsonl.",
    ),
    Case(
        "data data=files data.path=runs",
        "minillm: data.train is not set, and data.path=runs has no data file, but one file "
        "train.ENDING is needed (endings: jsonl, json, csv, parquet). Name the file of the train "
        "split: data.train=FILE.",
    ),
]
