"""What `minillm system2` refuses."""

from tests.commands.answers.case import Case
from tests.commands.answers.judge import NO_SERVER

TASK = "system2=coin_flip"
SERVER = "system2.server.model=m"

CASES = [
    Case(
        "system2",
        "minillm: system2 needs a step: corpus, generate, filter, train, evaluate, report.",
    ),
    Case(
        "system2 generat run",
        "minillm: unknown step of system2 'generat'. Did you mean 'generate'? Allowed: ...",
    ),
    Case(
        f"system2 generate {TASK}",
        "minillm: system2 generate takes one model, but 0 are given. Write `minillm system2 "
        "generate MODEL system2=last_letters`. `minillm list system2` lists the tasks.",
    ),
    Case(
        "system2 generate run",
        "minillm: the questions are not named, or named twice. Give system2=NAME for a task of "
        "`minillm list system2`, or system2.path=FOLDER for questions of your own.",
    ),
    Case(
        "system2 generate run system2=coins",
        "minillm: unknown system2 'coins'. Allowed: ...",
    ),
    Case(
        f"system2 generate run {TASK} system2.sample=2",
        "minillm: unknown setting of system2 'sample'. Did you mean 'samples'? Allowed: ...",
    ),
    Case(
        f"system2 generate run {TASK} system2.samples=0",
        "minillm: system2.samples=0 is not allowed: it must be 1 or more.",
    ),
    Case(
        f"system2 generate run {TASK} system2.program=branch_solve_merge",
        "minillm: system2.program=branch_solve_merge compares two candidates, which the questions "
        "of system2.task=coin_flip do not have. Give another program.",
    ),
    Case(
        "system2 generate run system2.path=questions",
        "minillm: system2.path=questions needs system2.program=NAME and system2.extractor=NAME, "
        "because only the tasks of the project have defaults.",
    ),
    Case(
        f"system2 generate run {TASK} system2.server.modl=m",
        "minillm: unknown setting of system2 'server.modl'. Did you mean 'server.model'? Allowed: "
        "...",
    ),
    Case(
        f"system2 generate runs/teacher {TASK} {SERVER}",
        "minillm: no server is given. Set the environment variable OPENAI_BASE_URL, such as "
        "http://localhost:8000/v1, or OPENAI_API_KEY for https://api.openai.com/v1.",
        variables=NO_SERVER[:2],
    ),
    Case(
        f"system2 generate run {TASK} {SERVER} system2.server.max_tokens=0",
        "minillm: system2.server.max_tokens=0 is not allowed: it must be 1 or more.",
    ),
    Case(
        f"system2 generate run {TASK} {SERVER} system2.server.max_cost=5",
        "minillm: system2.server.max_cost=5 needs prices. Add system2.server.price_input=NUMBER "
        "and system2.server.price_output=NUMBER, the prices of one million tokens.",
    ),
    Case(
        "system2 corpus run",
        "minillm: system2 corpus takes no model, but run is given.",
    ),
    Case(
        "system2 report nowhere --output new",
        "minillm: nowhere has no scores. Give the folder of a task in which `minillm system2 "
        "evaluate` has written scores, or the scores.json of a report.",
    ),
    Case(
        "system2 report run",
        "minillm: system2 report needs --output FOLDER, such as results/mine.",
    ),
    Case(
        "system2 filter run --output new",
        "minillm: system2 filter writes to output=FOLDER, and only report has --output.",
    ),
]
