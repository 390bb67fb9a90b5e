"""Typed answers, tries, cache and budget, with a model that says what the test has written down."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from storyreel.errors import ConfigError, ServiceError
from storyreel.llm.asking import Asker, Complaint, Question, json_in
from storyreel.llm.cache import AnswerCache
from storyreel.llm.prices import Budget, Estimate, Price, parse_most, parse_price
from storyreel.llm.prompts import Prompt, load_prompt
from storyreel.llm.protocol import Reply


class Number(BaseModel):
    value: int


class Scripted:
    """Replies one after the other; every word is a token."""

    def __init__(self, *texts, cut=False):
        self.texts, self.requests, self.cut = list(texts), [], cut

    def reply(self, request):
        self.requests.append(request)
        text = self.texts.pop(0)
        return Reply(text, 10, len(text.split()), self.cut)


PROMPT = Prompt("number", 1, "You name numbers.", "Which?")


def question(check=lambda answer: (), **changes):
    fields = {"prompt": PROMPT, "text": "Which?", "kind": Number, "about": "it", "most_tokens": 50, **changes}
    return Question(**fields, check=check)


def asker(*texts, cache=None, price=None, most=None):
    return Asker(Scripted(*texts), "a:b", Budget(price, most), cache)


@pytest.mark.parametrize(
    "text",
    ['{"value": 3}', 'Sure!\n```json\n{"value": 3}\n```', 'It is {"value": 3}, yes', '<think>{</think>{"value": 3}'],
)
def test_json_is_found(text):
    assert json_in(text) == {"value": 3}


def test_what_is_wrong_is_sent_back():
    own = asker("three", '{"value": "three"}', '{"value": 3}')
    assert own.ask(question()).value.value == 3
    second, third = own.model.requests[1:]
    assert 'begins with "three"' in second.messages[-1].text
    assert [message.who for message in third.messages] == ["user", "model", "user", "model", "user"]
    assert "value: Input should be a valid integer" in third.messages[-1].text
    assert own.budget.calls == 3


def test_three_tries_and_no_more():
    own = asker("a", "b", "c", "d")
    with pytest.raises(ServiceError, match="a:b gave no usable answer about it in 3 tries"):
        own.ask(question())
    assert own.model.texts == ["d"]


def test_a_cut_answer_is_none():
    own = asker('{"value": 3}', '{"value": 3}', '{"value": 3}')
    own.model.cut = True
    with pytest.raises(ServiceError, match="longer than 50 tokens"):
        own.ask(question())


def test_what_should_be_better_is_asked_for_and_the_best_taken():
    def check(answer):
        return [Complaint("too large", must=False)] * (answer.value > 5) + [Complaint("even", must=False)] * (
            answer.value % 2 == 0
        )

    own = asker('{"value": 8}', '{"value": 7}', '{"value": 6}')
    answer = own.ask(question(check))
    assert (answer.value.value, [one.text for one in answer.complaints]) == (7, ["too large"])


def test_answers_are_kept_by_model_prompt_and_input(tmp_path):
    cache = AnswerCache(tmp_path / "answers")
    assert asker('{"value": 3}', cache=cache).ask(question()).tries == 1
    again = asker(cache=cache).ask(question())
    assert (again.value.value, again.tries) == (3, 0)
    for other in (
        question(text="Which, then?"),
        question(prompt=Prompt("number", 2, "You name numbers.", "Which?")),
        question(images=(b"a",)),
        question(seed=1),
    ):
        assert asker('{"value": 4}', cache=cache).ask(other).value.value == 4
    other_model = asker('{"value": 5}', cache=cache)
    other_model.name = "a:c"
    assert other_model.ask(question()).value.value == 5
    assert asker('{"value": 6}', cache=cache).ask(question(lambda own: [Complaint("3")] * (own.value == 3))).tries == 1
    for path in Path(tmp_path, "answers").iterdir():
        assert path.suffix == ".json"


def test_the_budget_is_never_exceeded():
    price = Price(1000, 10_000)  # $0.001 and $0.01 a token: 50 tokens out are $0.50
    own = asker('{"value": 3}', '{"value": 3}', price=price, most=0.60)
    own.ask(question())
    assert own.budget.spent == pytest.approx(0.001 * 10 + 0.01 * 2)
    tight = asker('{"value": 3}', price=price, most=0.40)
    with pytest.raises(ServiceError, match=r"the next call may cost \$0.5\d, and \$0.00 of --max-cost \$0.40"):
        tight.ask(question())
    assert tight.model.requests == []


def test_estimates_are_checked_before_the_start():
    estimate = Estimate(2, 1_000_000, 100_000)
    assert "about $4.50 ($3 in and $15 out a million tokens); at most $5.00" in Budget(Price(3, 15), 5).check(estimate)
    with pytest.raises(ConfigError, match=r"--max-cost is \$1.00, but this takes about \$4.50. Allow it with"):
        Budget(Price(3, 15), 1).check(estimate)
    with pytest.raises(ConfigError, match="the price of this model is not known"):
        Budget(None, 1).check(estimate)
    assert "no limit" in Budget(None, None).check(estimate)
    assert (parse_price("3/15"), parse_most("off"), parse_most("2")) == (Price(3, 15), None, 2)
    for wrong in ("3", "a/b", "-1/2"):
        with pytest.raises(ConfigError, match="--price is"):
            parse_price(wrong)
    for wrong in ("much", "-1", "nan"):
        with pytest.raises(ConfigError, match="--max-cost is"):
            parse_most(wrong)


def test_prices_come_from_a_table():
    from storyreel.llm.prices import known_price

    price = known_price("anthropic", "claude-haiku-4-5")
    assert price is not None
    assert price.tokens_out > price.tokens_in > 0
    assert known_price("openai", "nobody-has-such-a-model") is None


@pytest.mark.parametrize("name", ["sentences", "beats", "paragraph"])
def test_prompts_are_versioned_files(name):
    prompt = load_prompt("storyreel.storyboard", name)
    assert prompt.version >= 1
    assert prompt.key == f"{name} v{prompt.version}"
    assert "JSON" in prompt.instructions
    with pytest.raises(KeyError):
        prompt.filled()
