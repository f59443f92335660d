"""What `minillm sweep` and `minillm report sweep` refuse."""

from tests.commands.answers.case import Case

CASES = [
    Case(
        "sweep experiment=embedded/sft output=new",
        "minillm: the sweep varies no setting. Give sweep=NAME with a `space`, or values separated "
        "by commas, such as training.lr=1e-3,2e-3.",
    ),
    Case(
        "sweep sweep=paper/smal",
        "minillm: unknown sweep 'paper/smal'. Did you mean 'paper/small'? Allowed: ...",
    ),
    Case(
        "sweep sweep=embedded/lr sweep.trial=3",
        "minillm: unknown setting of a sweep 'trial'. Did you mean 'trials'? Allowed: ...",
    ),
    Case(
        "sweep sweep=embedded/lr sweep.space.training.lr=1",
        "minillm: sweep.space.training.lr=1 is not allowed: write KEY=VALUE for a setting of all "
        "trials, KEY=a,b for a setting that varies, or a file of your own for sweep=./FILE.yaml.",
    ),
    Case(
        "sweep sweep=embedded/lr training.lr=1",
        "minillm: training.lr=1 is not allowed: the sweep varies training.lr. Leave it out, or "
        "remove it from the space of the sweep.",
    ),
    Case(
        "sweep sweep=embedded/lr resume=auto",
        "minillm: resume=auto is not allowed: a sweep always continues, its trials have the seeds "
        "sweep.seeds=[1,2] and are always trained, and another output=FOLDER begins another sweep.",
    ),
    Case(
        "sweep sweep=embedded/lr sweep.seeds=[1,1]",
        "minillm: sweep.seeds=[1, 1] names a seed twice. Each run of a trial needs another seed.",
    ),
    Case(
        "sweep sweep=embedded/lr sweep.launcher=bsh",
        "minillm: sweep.launcher=bsh cannot be started: there is no program 'bsh'. Give a command, "
        "such as 'bash scripts/launch.sh'.",
    ),
    Case(
        "sweep sweep=embedded/lr sweep.objectives=[rougeL,seconds]",
        "minillm: sweep.pruner=median is not allowed with sweep.objectives=['rougeL', 'seconds']: "
        "it compares trials by one score of a validation. Set sweep.pruner=none, or one score as "
        "the objective.",
    ),
    Case(
        "sweep sweep=embedded/lr sweep.storage=postgresql://me:secret@host/sweeps",
        "minillm: sweep.storage contains a password, which other users can see. Leave it out, and "
        "give it by PGPASSWORD or ~/.pgpass.",
    ),
    Case(
        "sweep sweep=embedded/lr sweep.sampler=grid",
        "minillm: space.training.lr has no points, so it cannot be a part of a grid. Write {log: "
        "[0.0005, 0.02], points: 4} or {choice: [...]}, or select another sweep.sampler.",
    ),
    Case(
        "sweep experiment=embedded/sft training.lr=1e-3,0 output=new",
        "minillm: training.lr=0.0 is not allowed: it must be above 0. (in a trial of the sweep "
        "with training.lr=0)",
    ),
    Case(
        "sweep experiment=embedded/kd training.lr=1e-3,1e-2 output=new",
        "minillm: method=kd needs a teacher: ...",
    ),
    Case(
        "sweep experiment=embedded/sft training.lr=1e-3,1e-2 output=runs/teacher",
        "minillm: output=runs/teacher holds files that do not belong to a sweep, so nothing is "
        "written there. Give another output=FOLDER.",
    ),
    Case(
        "report sweep runs --output new",
        "minillm: runs is not the folder of a sweep: it has no sweep.json. Give the output=FOLDER "
        "of a `minillm sweep`.",
    ),
    Case(
        "report sweep --output new",
        "minillm: report sweep takes one folder, but 0 are given. Write `minillm report sweep "
        "runs/lr --output results/lr`. (A folder named sweep is written ./sweep.)",
    ),
]
