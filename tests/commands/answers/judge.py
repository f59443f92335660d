"""What `minillm judge` refuses. `runs/teacher` was not evaluated."""

from tests.commands.answers.case import Case

NO_SERVER = (("OPENAI_BASE_URL", ""), ("OPENAI_API_KEY", ""), ("MINILLM_JUDGE_MODEL", ""))
LOCAL = (("OPENAI_BASE_URL", "http://localhost:8000/v1"),)
RULES = "judge.model=gpt-4o"

CASES = [
    Case(
        f"judge {RULES}",
        "minillm: no result is given. Give runs, folders of runs or result files, such as `minillm "
        "judge runs/minillm judge.model=gpt-4o`.",
    ),
    Case(
        "judge runs/teacher",
        "minillm: no model is given as the judge. Add judge.model=NAME, or set the environment "
        "variable MINILLM_JUDGE_MODEL. NAME is a model of the server, such as gpt-4o.",
        variables=NO_SERVER[2:],
    ),
    Case(
        f"judge runs/teacher {RULES}",
        "minillm: no server is given. Set the environment variable OPENAI_BASE_URL, such as "
        "http://localhost:8000/v1, or OPENAI_API_KEY for https://api.openai.com/v1.",
        variables=NO_SERVER[:2],
    ),
    Case(
        f"judge runs/teacher {RULES}",
        "minillm: OPENAI_BASE_URL=localhost:8000 is not an address. Give one such as "
        "http://localhost:8000/v1.",
        variables=(("OPENAI_BASE_URL", "localhost:8000"),),
    ),
    Case(
        f"judge runs/teacher {RULES}",
        "minillm: the address in OPENAI_BASE_URL has a user name, a password or a query (`?`). "
        "Give the address alone, such as https://HOST/v1, and the key in OPENAI_API_KEY.",
        variables=(("OPENAI_BASE_URL", "https://me:secret@host/v1"),),
    ),
    Case(
        f"judge runs/teacher {RULES} judge.api_key=secret",
        "minillm: unknown setting 'judge.api_key'. ...",
        variables=LOCAL,
    ),
    Case(
        f"judge runs/teacher {RULES} training.lr=1",
        "minillm: unknown setting 'training.lr'. Allowed: judge.against, ...",
        variables=LOCAL,
    ),
    Case(
        f"judge runs/teacher {RULES} judge.max_calls=many",
        "minillm: judge.max_calls=many: Value 'many' of type 'str' could not be converted to "
        "Integer. docs/judge.md explains the settings.",
        variables=LOCAL,
    ),
    Case(
        f"judge runs/teacher {RULES} judge.concurrency=0",
        "minillm: judge.concurrency=0 is not allowed: it must be 1 or more.",
        variables=LOCAL,
    ),
    Case(
        f"judge runs/teacher {RULES} judge.max_cost=5",
        "minillm: judge.max_cost=5 needs prices. Add judge.price_input=NUMBER and "
        "judge.price_output=NUMBER, the prices of one million tokens.",
        variables=LOCAL,
    ),
    Case(
        f"judge runs/teacher {RULES} judge.price_input=2",
        "minillm: judge.price_input and judge.price_output are used only together. Give both, or "
        "none.",
        variables=LOCAL,
    ),
    Case(
        f"judge runs/teacher {RULES}",
        "minillm: runs/teacher holds no results: no evaluation/*.json at any depth, and no "
        "results.json of an earlier report. Evaluate a run first, or give another folder.",
        variables=LOCAL,
    ),
    Case(
        "evaluate runs/teacher evaluation.metrics=[judge]",
        "minillm: evaluation.metrics: judge is computed after an evaluation, by `minillm judge "
        "RUN`. Leave it out here.",
    ),
]
