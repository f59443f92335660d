"""The score of a judge as a metric of results. `minillm judge` computes it after an evaluation."""

from minillm.evaluation.metric import Metric

JUDGE = "judge"


class JudgeScore(Metric):
    """The GPT-4 feedback of the paper (section 3.1), by any language model.

    The value of a response is its score divided by that of the reference, and its weight is the
    score of the reference. So the mean is the ratio of the totals.
    """

    name = JUDGE
    label = "judge"
    unit = "% of the references"
    description = (
        "total of the scores (1 to 10) that a language model gives the judged responses, divided "
        "by the total of the scores of the references"
    )
    higher_is_better = True
    is_cheap = False
    needs_judge = True
