"""Extractors and filters, on texts whose answers are obvious."""

import pytest

from minillm.system2 import filters
from minillm.system2.extractors import EXTRACTORS, answer_start, is_right, normalised
from minillm.system2.filters import (
    CHANGES,
    KEPT,
    NO_ANSWER,
    NO_CHOICE,
    NOT_FOUND,
    RARE,
    TIE,
    Verdict,
)
from minillm.system2.keeping import Kept, original_answer
from minillm.system2.question import Question
from minillm.system2.run import Call, Trace


@pytest.mark.parametrize(
    ("name", "response", "answer"),
    [
        ("text", 'Answer: "Paris".\nBecause it is.', "Paris"),
        ("text", "  ", None),
        ("word", "Zodos sells honey.\nHe is rich.", "honey"),
        ("word", "42", None),
        ("letters", "Answer:\no t I", "o t i"),
        ("letters", "The letters are OTI.", "oti"),
        ("letters", '"k", "n"', "k n"),
        ("text", "**Answer:** Paris", "Paris"),
        ("text", "The answer: Paris", "Paris"),
        ("letters", "42", None),
        ("yes_no", "Yes, it is.", "yes"),
        ("yes_no", "yes and no", None),
        ("yes_no", "No way to say yes. Answer: no", "no"),
        ("yes_no", "nobody knows", None),
        ("choice", "A is a better answer", "A"),
        ("choice", "A and B are equal: Tie", None),
        ("choice", "It is a tie.", "tie"),
        ("choice", "a", None),
        ("number", "3 + 4 = 7, so 1,234.50", "1234.5"),
        ("number", "It costs 5.\n#### 18", "18"),
        ("number", "-7 degrees", "-7"),
        ("number", "10", "10"),
        ("number", "10,000 or $.50", "0.5"),
        ("number", "1, 2,3", "3"),
        ("number", "10-12", "12"),
        ("number", "\N{MINUS SIGN}5.0", "-5"),
        ("number", "none", None),
    ],
)
def test_extractors(name, response, answer):
    assert EXTRACTORS[name](response) == answer


@pytest.mark.parametrize(
    ("response", "answer", "before"),
    [
        ("Answer: 3. Answer:\n 4", "4", "Answer: 3. Answer:\n "),
        ("16-3=13. 13*2=26.\n#### 26", "26", "16-3=13. 13*2=26.\n#### "),
        ("Tavek sells honey.", "honey", "Tavek sells "),
        ("No, nobody. Answer: No", "no", "No, nobody. Answer: "),
        ("It is 1,200. Answer: 1,200", "1200", "It is 1,200. Answer: "),
        ("By far, A is a better answer.", "A", "By far, "),
        ("4", "4", ""),
    ],
)
def test_where_an_answer_starts(response, answer, before):
    """A teacher reads everything before."""
    assert response[: answer_start(response, answer)] == before


def test_answers_are_compared_without_case_punctuation_and_articles():
    assert normalised("The Tower, of London!") == normalised("tower of  london")
    assert normalised("a t i") == "ati"  # letters, not an article
    assert normalised("a") == "a"
    assert normalised("U.S.A.") == "usa" and normalised("Spider-Man") == "spiderman"
    assert normalised("-1.5.") == "-1.5"
    assert not is_right("york", ("New York",), EXTRACTORS["word"])
    assert is_right("18", ("He has 18 left.\n#### 18",), EXTRACTORS["number"])
    assert not is_right(None, ("18",), EXTRACTORS["number"])


@pytest.mark.parametrize(
    ("answers", "least_share", "verdict"),
    [
        (["a", "b", "a", None], 0.5, Verdict(KEPT, "a", 0)),
        (["b", "A.", "a", None], 0.5, Verdict(KEPT, "A.", 1)),  # equal when normalised
        (["a", "b", "a", None], 0.6, Verdict(RARE)),
        (["a", "b", "b", "a", "c"], 0.0, Verdict(TIE)),
        ([None, None], 0.0, Verdict(NO_ANSWER)),
    ],
)
def test_majority(answers, least_share, verdict):
    assert filters.majority(answers, least_share) == verdict


def test_consistency_needs_the_same_answer_in_all_forms():
    kept = Verdict(KEPT, "yes", 3)
    assert filters.consistent(kept, [Verdict(KEPT, "Yes.", 0)]) == kept
    assert filters.consistent(kept, [kept, Verdict(KEPT, "no", 0)]) == Verdict(CHANGES)
    assert filters.consistent(kept, [Verdict(TIE)]) == Verdict(CHANGES)
    assert filters.consistent(Verdict(TIE), [kept]) == Verdict(TIE)


def test_the_choice_of_the_model_is_a_number_of_a_response():
    answers = ["a", None, "b"]
    assert filters.chosen_by_model("Response 3", answers) == Verdict(KEPT, "b", 2)
    assert filters.chosen_by_model("2", answers) == Verdict(NOT_FOUND)
    assert filters.chosen_by_model("4", answers) == Verdict(NO_CHOICE)
    assert filters.chosen_by_model("all of them", answers) == Verdict(NO_CHOICE)
    (prompts,) = [next(filters.universal(Question("1", "Why?"), ["x\ny", "z"]))]
    assert "Response 1: x y\nResponse 2: z\n" in prompts[0]


def test_swapped_candidates_swap_the_answer():
    question = Question("1", "Which?", ("A",), candidates=("x", "y"))
    (swapped,) = question.changed()
    assert (swapped.candidates, swapped.answers) == (("y", "x"), ("B",))
    assert original_answer("B", question, swapped) == "A"
    assert original_answer("tie", question, swapped) == "tie"
    assert original_answer(None, question, swapped) is None


def test_the_teacher_reads_everything_before_the_answer():
    question = Question("1", "2 + 2?")
    calls = (Call("first", "...", 3), Call("last", "two and two. Answer:\n4", 5))
    row = Kept(question, "4", Trace("1", 0, calls, "two and two. Answer:\n4")).row("<{}>".format)
    assert row["teacher_prompt"] == "<last>two and two. Answer:\n"
    assert row["output"] == "4" and row["instruction"].startswith("2 + 2?")
