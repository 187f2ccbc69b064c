"""What a model is to reply in each mode, and what becomes of it."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text.strip()


# Not by a pattern, which few endpoints take in a schema.
Text = Annotated[str, AfterValidator(_not_blank)]


class Written(NamedTuple):
    """`asked`: what the record asks, "" when a template does; `number`: of the question that was given, from 1."""

    asked: str
    output: str
    quotes: list[str]
    number: int = 0


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Instruction(_Form):
    instruction: Text
    output: Text
    quotes: list[Text]


class Instructions(_Form):
    records: list[_Instruction]

    @property
    def written(self) -> list[Written]:
        return [Written(each.instruction, each.output, each.quotes) for each in self.records]


class _QuestionAndAnswer(_Form):
    question: Text
    answer: Text
    quotes: list[Text]


class QuestionsAndAnswers(_Form):
    records: list[_QuestionAndAnswer]

    @property
    def written(self) -> list[Written]:
        return [Written(each.question, each.answer, each.quotes) for each in self.records]


class _Question(_Form):
    question: Text
    quotes: list[Text]


class Questions(_Form):
    records: list[_Question]

    @property
    def written(self) -> list[Written]:
        return [Written("", each.question, each.quotes) for each in self.records]


class _Answer(_Form):
    number: int
    answer: Text
    quotes: list[Text]


class Answers(_Form):
    records: list[_Answer]

    @property
    def written(self) -> list[Written]:
        return [Written("", each.answer, each.quotes, each.number) for each in self.records]


class _Summary(_Form):
    summary: Text
    quotes: list[Text]


class Summaries(_Form):
    records: list[_Summary]

    @property
    def written(self) -> list[Written]:
        return [Written("", each.summary, each.quotes) for each in self.records]


Forms = Instructions | QuestionsAndAnswers | Questions | Answers | Summaries
FORMS: Final[dict[str, type[Forms]]] = {
    "instruction": Instructions,
    "qa": QuestionsAndAnswers,
    "question": Questions,
    "answer": Answers,
    "summarization": Summaries,
}
