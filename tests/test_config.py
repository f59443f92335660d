"""Settings that are refused: the message names what was given, what is allowed and what to do."""

from dataclasses import asdict

import pytest

from minillm.compose import groups, load_config
from minillm.errors import InputError
from tests.conftest import BUILT

DATA = ["data.path=data"]
MODELS = ["student.architecture=null", "student.path=init", "teacher.path=teacher"]

REFUSED = {
    # Unknown names; the message names the nearest valid name.
    "training.stepz=3": ["training.stepz", "training.steps", "training.lr"],
    "trainig.stepz=3": ["trainig.stepz", "'training'", "method"],
    "steps=3": ["'steps'", "training.steps"],
    "method.alpha=0.2": ["method.alpha", "method=minillm", "leave"],
    "method.name=kd": ["method.name=kd", "method=kd"],
    "method=minilm": ["'minilm'", "'minillm'", "kd, minillm, minillm_average_reward, seqkd, sft"],
    "experiment=e2e/minilm": ["'e2e/minilm'", "'e2e/minillm'", "e2e/kd"],
    "data=embeded": ["'embeded'", "'embedded'", "e2e"],
    "data.kind=cvs": ["data.kind 'cvs'", "'csv'", "jsonl"],
    "data.template=alpacca": ["'alpacca'", "'alpaca'", "chat, plain, ready"],
    "data.columns.reference=ref": ["'reference'", "'references'", "instruction"],
    "runtime.trackers=[tensorbord]": ["'tensorbord'", "'tensorboard'", "wandb"],
    "runtime.device=gpu": ["'gpu'", "auto, cpu, cuda"],
    # Malformed overrides.
    "training.steps": ["'training.steps'", "key=value"],
    "training.lr=[1": ["'training.lr=[1'", "key=value"],
    "~training.lr": ["'~training.lr'", "key=value"],
    "training.steps=1,2": ["'training.steps=1,2'", "key=value", "[1,2]"],
    # Types.
    "training.steps=many": ["training.steps", "'many'", "Integer"],
    "training.lr=fast": ["training.lr", "'fast'", "Float"],
    "runtime.trackers=wandb": ["runtime.trackers", "list"],
    "training={stepz: 3}": ["training", "stepz"],
    # Ranges.
    "training.steps=0": ["training.steps=0", "1 or more"],
    "training.micro_batch_size=0": ["training.micro_batch_size=0", "1 or more"],
    "training.chunk_size=0": ["training.chunk_size=0", "1 or more"],
    "training.lr=nan": ["training.lr=nan", "above 0"],
    "training.lr=inf": ["training.lr=inf", "above 0"],
    "training.betas=[0.9]": ["training.betas=[0.9]", "two numbers"],
    "training.betas=[0.9,1.5]": ["training.betas=1.5", "below 1"],
    "training.validation_seeds=[]": ["training.validation_seeds=[]", "at least one member"],
    "evaluation.seeds=[-1]": ["evaluation.seeds=-1", "from 0"],
    "evaluation.top_p=0": ["evaluation.top_p=0", "above 0"],
    "evaluation.limit=0": ["evaluation.limit=0", "1 or more"],
    "evaluation.frontier=[0,1]": ["evaluation.frontier=[0.0, 1.0]", "above 0", "Leave 0 out"],
    "evaluation.frontier=[0.5,0.5]": ["evaluation.frontier=[0.5, 0.5]", "different numbers"],
    "evaluation.frontier_top_p=[0.9,1]": ["evaluation.frontier_top_p=1", "above 0 and below 1"],
    "evaluation.frontier_samples=1": ["evaluation.frontier_samples=1", "2 or more"],
    "training.frontier_diversity=0.5": ["frontier_diversity=0.5", "above 0.5 and at most 1"],
    "runtime.threads=0": ["runtime.threads=0", "1 or more"],
    "runtime.seed=-1": ["runtime.seed=-1", "from 0"],
    "student.heads=3": ["student.heads=3", "divisor of 16"],
    "student.vocab_size=20": ["student.vocab_size=20", "300 or more"],
    "student.dropout=1": ["student.dropout=1", "below 1"],
    "data.max_prompt_length=0": ["data.max_prompt_length=0", "1 or more"],
    "data.name=a/b": ["data.name=a/b", "without '/'"],
    # Metrics.
    "evaluation.metrics=[rouge]": ["evaluation.metrics 'rouge'", "'rougeL'", "exact_match"],
    "evaluation.metrics=[]": ["evaluation.metrics is empty", "rougeL"],
    "training.select_by=rouge": ["training.select_by 'rouge'", "'rougeL'", "exact_match", "loss"],
    "training.select_by=length": ["training.select_by=length", "neither", "distinct_4", "last"],
    "training.select_by=reverse_kl": ["training.select_by=reverse_kl", "teacher.path="],
    "teacher.members=[{path: a}, {path: b, weight: 0}]": ["teacher.members[1].weight=0", "above 0"],
    "teacher.members=[{path: a, wieght: 2}]": ["teacher.members=[{path", "wieght", "config.py"],
    "teacher.members=[{path: null}]": ["teacher.members=[{path", "None"],
    "teacher.members=[{path: a, dtype: half}]": ["teacher.members[0].dtype 'half'", "float16"],
    # Settings without effect.
    "method.parameters.beta=0.1": ["method.parameters={'beta': 0.1}", "no effect", "kd_ratio"],
    "method.temperature=0.5": ["method.temperature=0.5", "no effect", "method.student_share or "],
    "method.sampling_batch_size=2": ["method.sampling_batch_size=2", "no effect"],
    "method.replay_size=5": ["method.replay_size=5", "no effect", "method.student_share_end"],
    "evaluation.frontier_samples=3": ["no effect", "evaluation.frontier or evaluation.frontier_t"],
    "training.frontier=[0.5]": ["no effect", "training.select_by=frontier"],
    "teacher.rate=0.5": ["teacher.rate=0.5", "no effect", "teacher.kind=average"],
    "teacher.mixture=geometric": ["teacher.mixture=geometric", "no effect", "kind=ensemble"],
    "data.validation=test.jsonl": ["data.validation_size=5", "no effect", "data.validation"],
    # Settings that contradict each other.
    "data.max_length=32": ["data.max_length=32", "prompt of 32 tokens", "data.max_length=null"],
    "data.columns.prompt=x": ["data.columns.prompt=x", "data.template=plain", "=ready"],
    "training.epochs=2": ["training.steps=3", "training.epochs=2", "exactly one", "null"],
    "training.steps=null": ["training.steps=None", "training.epochs=None", "exactly one"],
    "student.path=gpt2": ["student.path=gpt2", "student.architecture=gpt2", "null"],
    "student.architecture=null": ["no student", "student.path=", "student.architecture=gpt2"],
    "teacher.architecture=gpt2": ["teacher.architecture=gpt2", "teacher.path="],
    "method=kd": ["method=kd", "teacher.path="],
    "method=seqkd": ["method=seqkd", "teacher.path="],
    "method=minillm": ["method=minillm", "teacher.path="],
    "data.path=null": ["data.path", "data.kind=jsonl", "data.path=PATH"],
    "data.train=null": ["data.train is not set", "data.train=FILE"],
}


@pytest.mark.parametrize(("override", "parts"), REFUSED.items(), ids=REFUSED.keys())
def test_refused(refused, override, parts):
    message = refused(*BUILT, override)
    assert [part for part in parts if part not in message] == [], message


@pytest.mark.parametrize(
    ("override", "allowed"),
    {
        "method.alpha=1.2": "from 0 to 1",
        "method.clip_range=0": "above 0",
        "method.inner_epochs=0": "1 or more",
        "method.coin_group=0": "1 or more",
        "method.lm_coef=-1": "0 or more",
        "method.variant=papers": "official, paper",
    }.items(),
)
def test_settings_of_minillm_are_refused(refused, override, allowed):
    message = refused(*BUILT, "method=minillm", "teacher.path=gpt2", override)
    key, _, value = override.partition("=")
    assert key in message and value in message and allowed in message


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["method.divergence={}"], ["method.divergence={}", "such as jsd"]),
        (["method.divergence=[jsd]"], ["method.divergence=['jsd']", "such as jsd"]),
        (["method.divergence={jsd: -1}"], ["method.divergence={'jsd': -1}", "above 0"]),
        (["method.divergence={jsd: null}"], ["method.divergence={'jsd': None}", "above 0"]),
        (["method.kd_ratio=0", "method.layers=[[1,1]]", "teacher.top_k=5"], ["teacher.top_k=5"]),
    ],
)
def test_token_losses_that_cannot_be_built_are_refused(refused, overrides, parts):
    message = refused(*BUILT, "method=kd", "teacher.path=gpt2", *overrides)
    assert [part for part in parts if part not in message] == [], message


def test_a_setting_of_another_method_is_refused_and_the_message_names_that_method(refused):
    message = refused(*BUILT, "method=kd", "teacher.path=gpt2", "method.alpha=0.1")
    assert "method.alpha is a setting of method=minillm" in message


def test_files_of_groups_are_selected_before_values_are_set(command):
    outcome = command("data", "data.seed=3", "data.path=nowhere.csv", "data=e2e")
    assert outcome.status == 2 and "nowhere.csv" in outcome.err


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["method.layers=[1,1]"], ["method.layers=[1,1]", "list"]),
        (["method.layers=[[1,1,1]]"], ["method.layers=[[1, 1, 1]]", "pairs", "[[1,2],[-1,-1]]"]),
        (["method.layers=[[]]"], ["method.layers=[[]]", "pairs"]),
        (["method.layers=[]"], ["method.layers=[]", "pairs", "null"]),
        (["method.layers=[[0,1]]"], ["method.layers=[[0, 1]]", "counted from 1"]),
        (
            ["teacher.path=null", "teacher.kind=ensemble", "teacher.members=[{path: gpt2}]"],
            ["method.layers=[[-1, -1]]", "teacher.kind=ensemble", "teacher.kind=local"],
        ),
    ],
)
def test_layers_that_cannot_be_matched_are_refused(refused, overrides, parts):
    message = refused(*BUILT, "method=hidden_states", "teacher.path=gpt2", *overrides)
    assert [part for part in parts if part not in message] == [], message


def test_a_path_must_be_the_folder_of_a_model(refused, tmp_path):
    missing, run = tmp_path / "missing", tmp_path / "run"
    (run / "best").mkdir(parents=True)
    message = refused(*BUILT, "method=kd", f"teacher.path={run}")
    assert f"Give the model in the run: teacher.path={run / 'best'}" in message
    members = f"teacher.members=[{{path: {missing}}}]"
    message = refused(*BUILT, "method=kd", "teacher.kind=ensemble", members)
    assert f"teacher.members[0].path={missing}: there is no such folder" in message


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("method.layers=[[1,7]]", ["method.layers, teacher: layer 7", "layers 1 to 1"]),
        ("teacher.top_k=999", ["teacher.top_k=999", "more than the", "Give at most"]),
    ],
)
def test_settings_that_do_not_fit_the_models_are_refused(refused, teacher, override, parts):
    message = refused(
        f"student.path={teacher}/best", "method=hidden_states", f"teacher.path={teacher}/best",
        override,
    )  # fmt: skip
    assert [part for part in parts if part not in message] == [], message


def load_experiment(name: str) -> dict:
    """The settings of an experiment. Only phase 1 needs no models."""
    bed, _, run = name.partition("/")
    models = [] if run in ("init", "teacher") and bed != "paper" else MODELS
    data = [] if bed.startswith("embedded") else DATA
    return asdict(load_config([f"experiment={name}", *data, *models]))


@pytest.mark.parametrize("name", groups()["experiment"])
def test_the_second_size_of_an_experiment_has_the_same_data_and_method(name):
    """`BED_WIDTHxLAYERS/RUN` has the size of another student, and its steps and learning rates."""
    bed, _, run = name.partition("/")
    config, first_size = load_experiment(name), load_experiment(f"{bed.partition('_')[0]}/{run}")
    for section in ("data", "method", "evaluation"):
        assert config[section] == first_size[section]


@pytest.mark.parametrize(
    "override", ["data.validation_size=20", "data.hold_out=first", "data.path=x"]
)
def test_settings_of_files_are_refused_with_generated_data(override):
    with pytest.raises(InputError, match=f"{override} has no effect.*data.kind=embedded"):
        load_config(["data=embedded", override])


def test_a_setting_may_be_null_where_it_has_no_effect():
    assert load_config(["data=embedded", "data.path=null"]).data.path is None
