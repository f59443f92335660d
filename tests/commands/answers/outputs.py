"""Folders and files that cannot be written, or that must not be deleted."""

from tests.commands.answers.case import Case

TRAIN = "train data=jsonl data.path=my_data data.validation_size=5"
BUILT = "student.architecture=gpt2"


def kept(setting: str, output: str) -> str:
    """The answer to a command that would delete the folder or file of a setting."""
    path = setting.partition("=")[2]
    return (
        f"minillm: overwrite=true would delete {setting}, which this command reads, because it is "
        f"in output={output}. Give another output=FOLDER, or copy {path} to another folder and "
        f"give the copy."
    )


CASES = [
    Case(
        f"{TRAIN} student.path=runs/teacher/best output=runs/teacher overwrite=true",
        kept("student.path=runs/teacher/best", "runs/teacher"),
    ),
    Case(
        f"{TRAIN} method=kd student.path=runs/teacher/best teacher.path=link/best "
        "output=my_data/../runs/teacher overwrite=true",
        kept("student.path=runs/teacher/best", "my_data/../runs/teacher"),
        note="another spelling of the folder",
    ),
    Case(
        f"{TRAIN} method=minillm {BUILT} teacher.path=link/best output=runs/teacher overwrite=true",
        kept("teacher.path=link/best", "runs/teacher"),
        note="link is a symbolic link to runs/teacher",
    ),
    Case(
        f"{TRAIN} {BUILT} student.tokenizer=runs/teacher/best output=link overwrite=true",
        kept("student.tokenizer=runs/teacher/best", "link"),
    ),
    Case(
        f"{TRAIN} method=kd {BUILT} teacher.kind=ensemble "
        "'teacher.members=[{path:runs/teacher/last},{path:runs/teacher/best}]' "
        "output=runs/teacher overwrite=true",
        kept("teacher.members[0].path=runs/teacher/last", "runs/teacher"),
    ),
    Case(
        f"train data=jsonl data.path=runs/teacher/logs/data {BUILT} "
        "output=runs/teacher overwrite=true",
        kept("data.path=runs/teacher/logs/data", "runs/teacher"),
        note="runs/teacher/logs/data holds copies of my_data",
    ),
    Case(
        f"{TRAIN} method=seqkd {BUILT} teacher.path=copy/best output=runs/teacher "
        "method.file=runs/teacher/logs/responses.jsonl overwrite=true",
        kept("method.file=runs/teacher/logs/responses.jsonl", "runs/teacher"),
        note="the file of responses exists",
    ),
    Case(
        f"{TRAIN} method=seqkd {BUILT} teacher.path=copy/best output=new "
        "method.file=/proc/responses.jsonl",
        "minillm: method.file=/proc/responses.jsonl cannot be written: ... Give another "
        "method.file=FILE.",
    ),
    Case(
        f"{TRAIN} method=seqkd {BUILT} teacher.path=copy/best output=new method.file=my_data",
        "minillm: method.file=my_data is a folder. Give method.file=FILE.",
    ),
    Case(
        "evaluate runs/teacher gone/model data=jsonl data.path=my_data",
        "minillm: ...gone/model...",
        note="runs/teacher is not scored",
    ),
    Case(
        "evaluate runs/teacher damaged data=jsonl data.path=my_data",
        "minillm: no causal language model could be loaded from damaged: ... Give a folder in "
        "Hugging Face format (config.json and model.safetensors), or a Hub name.",
        note="the weights in damaged are cut off; runs/teacher is not scored",
    ),
    Case(
        "evaluate torn data=jsonl data.path=my_data",
        "minillm: torn/minillm.json is damaged: ... Restore this file, such as from a copy.",
        note="torn/minillm.json is cut off",
    ),
    Case(
        "evaluate runs/teacher data=jsonl data.path=my_data output=/proc/scores",
        "minillm: the folder /proc/scores/evaluation for the result of runs/teacher cannot be "
        "written: ... Give another output=FOLDER.",
    ),
    Case(
        "evaluate copy data=jsonl data.path=my_data",
        "minillm: copy/evaluation/jsonl.json exists and is not overwritten: the file is not a "
        "result that can be read. Add overwrite=true to replace the file, output=FOLDER to write "
        "to another folder, or data.name=NAME to rename the data set.",
        note="copy/evaluation/jsonl.json is cut off",
    ),
    Case(
        "data data=jsonl data.path=my_data --export /proc/data",
        "minillm: --export /proc/data cannot be written: ... Give another folder.",
    ),
    Case(
        "data data=jsonl data.path=my_data --export my_data/train.jsonl",
        "minillm: --export my_data/train.jsonl is a file. Give the name of a new folder.",
    ),
    Case(
        "data data=jsonl data.path=my_data --export my_data",
        "minillm: my_data is not empty, so nothing is written there. Give a new folder.",
    ),
]
