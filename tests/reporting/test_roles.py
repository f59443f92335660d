"""The model that other results name as their teacher is the teacher in a report."""

import pytest

from minillm.reporting.report import write_report
from minillm.reporting.results import load_results


@pytest.fixture
def chain(result, write):
    """Writes a teacher of method `sft` and its student, with these settings; returns the files."""

    def run(teacher: dict, student: dict) -> list:
        results = [result("sft", 52), result("minillm", 47)]
        for content, changes in zip(results, (teacher, student), strict=True):
            content["run"]["name"] = content["method"]
            content["config"] = {"student": {}, "teacher": {}, "evaluation": {}} | changes
        return [write(f"{content['method']}.json", content) for content in results]

    return run


STUDENT = {"student": {"path": "runs/minillm/best"}, "teacher": {"path": "runs/teacher/best"}}


@pytest.mark.parametrize("model", ["runs/teacher/best", "runs/other/../teacher/last"])
def test_a_model_that_others_name_as_teacher_is_the_teacher(chain, model, tmp_path):
    files = chain({"student": {"path": model}}, STUDENT)
    table = write_report(files[::-1], tmp_path / "report")
    rows = [line.split("|")[2:4] for line in table.splitlines() if line.startswith("| e2e")]
    assert [row[0].strip() for row in rows[:2]] == ["teacher", "minillm"]
    assert "**52.0" not in table and "**47.0" in table
    assert "minillm minus teacher" in table


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        ({"evaluation": {"name": "large sft"}}, {}),  # a name wins
        ({"teacher": {"path": "runs/xl/best"}}, {}),  # a student that teaches another student
        ({}, {"teacher": {"path": "runs/xl/best"}}),  # nobody names the model
        ({}, {"teacher": {"path": "runs/teacher"}, "student": {"path": "runs/teacher"}}),
    ],
)
def test_other_results_keep_their_method(chain, teacher, student):
    files = chain({"student": {"path": "runs/teacher/best"}} | teacher, STUDENT | student)
    assert "teacher" not in {found.method for found in load_results(files)}


def test_members_of_an_ensemble_are_teachers(chain):
    members = {"path": None, "members": [{"path": "runs/teacher/best"}]}
    files = chain({"student": {"path": "runs/teacher/best"}}, STUDENT | {"teacher": members})
    assert [found.method for found in load_results(files)] == ["teacher", "minillm"]
