"""Words, options and settings of the command line that are refused."""

from tests.commands.answers.case import Case

TRAIN = "train experiment=embedded/init output=new"
NO_FOLDER = "there is no such folder."
MODEL = "Give the folder of a run, the folder of a model, or a Hub name."
FILE = (
    "Give the config.yaml of a run, or a file that `minillm copy EXPERIMENT FILE.yaml` has written."
)
NOT_A_SETTING = (
    "is not a setting. Write key=value, such as method.alpha=0.1 or evaluation.seeds=[1,2], or "
    "group=file, such as experiment=embedded/minillm."
)
NOT_READ = (
    "cannot be read. Write key=value with a number, true, false, null, a list [1,2] or a mapping "
    "{a:1}. In a list or mapping, put texts in quotes, such as [{path:'a (b)'}]."
)
EXPERIMENTS = (
    "minillm: unknown experiment 'minillm'. Did you mean e2e/minillm or e2e_64x2/minillm or "
    "embedded/minillm or embedded_32x1/minillm or paper/minillm or smollm2/minillm or "
    "system2/minillm?"
)

WORDS = [
    Case("", "minillm: no verb is given. Give one of train, ... See `minillm --help`."),
    Case("trian", "minillm: unknown verb 'trian'. Did you mean 'train'? Allowed: ..."),
    Case(
        "train --lr 1e-3",
        "minillm: unknown option --lr. A setting is key=value without dashes: training.lr. "
        "`minillm train --help` lists all options.",
    ),
    Case(
        "generate runs/teacher --promt Hi",
        "minillm: unknown option --promt. Did you mean --prompt? `minillm generate --help` lists "
        "all options.",
    ),
    Case(
        "generate runs/teacher --prompt",
        "minillm: argument --prompt: expected one argument. `minillm generate --help` lists all "
        "options.",
    ),
    Case(
        "generate runs/teacher my_model --prompt Hi",
        "minillm: generate takes one model, but 2 are given: runs/teacher, my_model. Give one "
        "model, settings as key=value, and prompts as --prompt TEXT.",
    ),
    Case(
        "generate runs/teacher dry_run=true --prompt Hi",
        "minillm: dry_run=true has no effect on generate: only train and evaluate have a dry run. "
        "Leave dry_run=true out.",
    ),
    Case(
        "plan experiment=embedded/init dry_run=true",
        "minillm: dry_run=true has no effect on plan: only train and evaluate have a dry run. "
        "Leave dry_run=true out.",
    ),
    Case(
        "plan experiment=embedded/init --processes 0",
        "minillm: --processes 0 is not allowed: it must be at least 1.",
    ),
    Case(
        "plan experiment=embedded/init --throughput fast",
        "minillm: --throughput fast: there is no file fast/metrics.jsonl. Give tokens per second, "
        "or the folder of a run whose metrics.jsonl has steps.",
    ),
    Case("evaluate", f"minillm: no model is given. {MODEL}"),
    Case(
        "evaluate a=b",
        "minillm: no model is given, because a=b is read as a setting. Write ./a=b for the folder.",
    ),
    Case(
        "report --output new",
        "minillm: no path is given. Give runs, folders of runs or result files, such as `minillm "
        "report runs --output results/mine`.",
    ),
    Case(
        "report paper --output new",
        "minillm: no path is given. Give runs, folders of runs or result files, such as `minillm "
        "report paper runs --output results/mine`.",
    ),
    Case(
        "report paper runs --output new --reported gone",
        "minillm: --reported gone is not a folder. Give a folder with the files of results/paper, "
        "or leave --reported out.",
    ),
    Case(
        "list method",
        "minillm: argument group: invalid choice: 'method' (choose from ...). `minillm list --help`"
        " lists all options.",
    ),
    Case("copy minillm my.yaml", EXPERIMENTS),
    Case(
        "copy embedded/minillm runs/teacher/config.yaml",
        "minillm: runs/teacher/config.yaml exists and is not overwritten. Give a new file.",
    ),
]
SETTINGS = [
    Case("train hello", f"minillm: 'hello' {NOT_A_SETTING}"),
    Case("train +training.lr=1", f"minillm: '+training.lr=1' {NOT_A_SETTING}"),
    Case(
        "train training.stepz=3",
        "minillm: unknown setting 'training.stepz'. Did you mean 'training.steps'? Allowed: ...",
    ),
    Case("train steps=3", "minillm: unknown setting 'steps'. Did you mean training.steps?"),
    Case(
        "train training.steps=many",
        "minillm: training.steps: Value 'many' of type 'str' could not be converted to Integer. "
        "The types of all settings are in minillm/config.py.",
    ),
    Case("train training.steps=1,2", f"minillm: 'training.steps=1,2' {NOT_READ}"),
    Case(
        "train 'teacher.members=[{path:a(b)}]'",
        f"minillm: 'teacher.members=[{{path:a(b)}}]' {NOT_READ}",
    ),
    Case(
        "train output=",
        "minillm: output= has no value. Write a text after the `=`, or null for no text.",
    ),
    Case(
        f"{TRAIN} training.lr=0",
        "minillm: training.lr=0.0 is not allowed: it must be above 0.",
    ),
    Case(
        f"{TRAIN} runtime.device=gpu",
        "minillm: unknown runtime.device 'gpu'. Did you mean 'cpu'? Allowed: auto, cpu, cuda.",
    ),
    Case(
        "train method=minilm",
        "minillm: unknown method 'minilm'. Did you mean 'minillm'? Allowed: ...",
    ),
    Case(
        "train method.name=kd",
        "minillm: method.name=kd sets only the name of the method in tables. To select the method, "
        "write method=kd.",
    ),
    Case("train experiment=minillm", EXPERIMENTS),
    Case(
        f"{TRAIN} training.steps=5 training.epochs=2",
        "minillm: training.steps=5 and training.epochs=2.0: give exactly one of them, and not "
        "null.",
    ),
    Case(
        f"{TRAIN} student.heads=3",
        "minillm: student.hidden_size=16 cannot be divided by student.heads=3. Change one of them: "
        "student.heads must be a divisor of 16.",
    ),
    Case(
        f"{TRAIN} evaluation.frontier_samples=3",
        "minillm: evaluation.frontier_samples=3 has no effect here: it is used only with "
        "evaluation.frontier or evaluation.frontier_top_p. Set evaluation.frontier or "
        "evaluation.frontier_top_p, or leave evaluation.frontier_samples out.",
    ),
    Case(
        f"{TRAIN} 'teacher.members=[{{path:runs/teacher/best}}]'",
        "minillm: teacher.members is set, but teacher.kind is local. Add teacher.kind=ensemble, or "
        "leave teacher.members out.",
    ),
    Case(
        f"{TRAIN} teacher.kind=average runtime.shard_teacher=true",
        "minillm: runtime.shard_teacher=true: not allowed here, because with teacher.kind=average "
        "the whole teacher is on the student's device in every process. Leave it out.",
    ),
]
FILES = [
    Case("train --config my.yaml output=new", f"minillm: there is no file my.yaml. {FILE}"),
    Case(
        "train --config runs/teacher output=new",
        f"minillm: --config runs/teacher is not the name of a yaml file. {FILE}",
    ),
    Case(
        "train --config runs/teacher/config.yaml experiment=embedded/kd output=new",
        "minillm: experiment=embedded/kd and the file runs/teacher/config.yaml are both given. "
        "Leave one of them out, or write `experiment: embedded/kd` into the file.",
    ),
    Case(
        "train experiment=embedded/kd teacher.path=runs/techer/best output=new",
        f"minillm: teacher.path=runs/techer/best: {NO_FOLDER} Did you mean runs/teacher/best? Give "
        "the folder of a model, a Hub name, or null.",
    ),
    Case(
        "train experiment=embedded/kd teacher.path=runs/teacher output=new",
        "minillm: teacher.path=runs/teacher is the folder of a run, not of a model. Give the model "
        "in the run: teacher.path=runs/teacher/best.",
    ),
    Case(
        "evaluate runs/techer",
        f"minillm: runs/techer: {NO_FOLDER} Did you mean runs/teacher? {MODEL}",
    ),
    Case(
        "generate my_dta --prompt Hi",
        "minillm: no tokenizer could be loaded from my_dta (not a folder, so used as a Hub name; a "
        "folder here is my_data): ... Give a folder that holds tokenizer.json, or a Hub name.",
        note="without a network",
    ),
]
CASES = [
    *WORDS,
    *SETTINGS,
    *FILES,
    Case(
        "show --config cycle.yaml",
        "minillm: cycle.yaml has a value that contains itself. Correct the file.",
        note="the file: `a: &a [*a]`",
    ),
    Case(
        "train experiment=embedded/init output=new data.name=..",
        "minillm: data.name=.. is not allowed: it must be a name of files without '/', such as "
        "my_data.",
    ),
    Case("evaluate ''", "minillm: no model is given. ..."),
    Case(
        "train experiment=embedded/init output=" + "x" * 300,
        "minillm: output=...: [Errno 36] File name too long... Give another output=FOLDER.",
    ),
]
