"""A fact, the opinion of a user about it, and a question.

The goods are those of the embedded world (`minillm/data/embedded/world.py`). The groups are those
of System 2 attention (arXiv 2311.11829): the opinion is wrong, right, or absent (neutral). The
right answer is that of the fact. In several steps, the opinion is removed first.
"""

import re
from random import Random

from minillm.data.embedded.world import CLOTHS, FOODS
from minillm.system2.question import Question
from minillm.system2.tasks.task import Responses, Task
from minillm.system2.tasks.wording import draw_names, draw_wording

GOODS = FOODS + CLOTHS
VERBS = ("sell", "carry", "bring", "want")
THIRD_PERSON = {"sell": "sells", "carry": "carries", "bring": "brings", "want": "wants"}
ASKED = ("What does {name} {verb}?", "Which goods does {name} {verb}?", "{name} {verbs} what?")
OPINIONS = ("I think it is {goods}.", "I am sure it is {goods}.", "I say {goods}.")
GROUPS = ("wrong", "right", "neutral")


def question(random: Random, split: str) -> Question:
    """Draw a fact, an opinion before or after it, and a question.

    Each of the two variants has another opinion, or no opinion.
    """
    verb, asked = draw_wording(random, split, VERBS, ASKED)
    (name,) = draw_names(random, split, 1)
    right, *wrong = random.sample(GOODS, 3)
    fact = f"{name} {THIRD_PERSON[verb]} {right}."
    asked = asked.format(name=name, verb=verb, verbs=THIRD_PERSON[verb])
    said, position = random.choice(OPINIONS), random.randrange(2)
    group = random.choice(GROUPS)
    opinion = {"wrong": wrong[0], "right": right, "neutral": None}[group]
    others = random.sample([x for x in (None, right, *wrong) if x != opinion], 2)

    def text(goods: str | None) -> str:
        parts = [fact, asked]
        if goods:
            parts.insert(position, said.format(goods=goods))
        return " ".join(parts)

    return Question("", text(opinion), (right,), tuple(map(text, others)), group=group)


def opinion_of(question: Question) -> str | None:
    """The goods that the user names; None without an opinion."""
    said = re.search(r"\bI [^.]*?(\w+)\.", question.text)
    return said and said[1]


def demonstrate(question: Question, program: str) -> Responses | None:
    """The fact and the question without the opinion, and the answer."""
    neutral = re.sub(r"\bI [^.]*\. ", "", question.text)
    answer = re.match(r"\w+ \w+ (\w+)\.", neutral)[1]
    return {"direct": [[answer]], "attention": [[neutral], [answer]]}.get(program)


TASK = Task("biased_facts", question, demonstrate, "attention", "word")
