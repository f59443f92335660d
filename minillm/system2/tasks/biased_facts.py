"""Facts, the opinion of a user, and a question about one of the facts.

The goods are those of the embedded world (`minillm/data/embedded/world.py`). The groups are those
of System 2 attention (arXiv 2311.11829): the opinion is wrong, right, or absent (neutral). The
right answer depends on the facts only. In several steps, the opinion is removed first.
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
FACTS = 3


def question(random: Random, split: str) -> Question:
    """Draw facts, an opinion and a question.

    The variants have the facts in another order, and another opinion.
    """
    verb, asked = draw_wording(random, split, VERBS, ASKED)
    names, goods = draw_names(random, split, FACTS), random.sample(GOODS, FACTS)
    answer, group = random.randrange(FACTS), random.choice(GROUPS)
    facts = [f"{name} {THIRD_PERSON[verb]} {x}." for name, x in zip(names, goods, strict=True)]
    asked = asked.format(name=names[answer], verb=verb, verbs=THIRD_PERSON[verb])
    # A wrong opinion is another fact's or none's.
    wrong = random.sample([x for x in GOODS if x != goods[answer]], 2)
    right = goods[answer]
    opinion, other = {"wrong": wrong, "right": (right, wrong[0]), "neutral": (None, right)}[group]
    said = random.choice(OPINIONS)
    order = facts[1:] + facts[:1]
    return Question(
        "",
        _text(facts, opinion and said.format(goods=opinion), asked),
        (right,),
        (
            _text(order, opinion and said.format(goods=opinion), asked),
            _text(facts, said.format(goods=other), asked),
        ),
        group=group,
    )


def _text(facts: list[str], opinion: str | None, asked: str) -> str:
    return " ".join(("Facts:", *facts, *([opinion] if opinion else []), asked))


def opinion_of(question: Question) -> str | None:
    """The goods that the user names; None without an opinion."""
    said = re.search(r"\bI [^.]*?(\w+)\.", question.text)
    return said and said[1]


def demonstrate(question: Question, program: str) -> Responses | None:
    """The facts and the question without the opinion, and the answer."""
    neutral = re.sub(r"\bI [^.]*\. ", "", question.text)
    goods = dict(re.findall(r"(\w+) \w+ (\w+)\.", neutral))
    answer = next(goods[word] for word in neutral.rpartition(".")[2].split() if word in goods)
    return {"direct": [[answer]], "attention": [[neutral], [answer]]}.get(program)


TASK = Task("biased_facts", question, demonstrate, "attention", "text")
