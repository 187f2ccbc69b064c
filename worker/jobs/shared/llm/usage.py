"""What the language model was used for, counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class LlmUsage:
    """`requests`: without what the client repeats after 429, 5xx and timeouts. `repaired`: replies that were in order
    only at the second attempt. `truncated`: replies that were cut off and asked for once more, with twice the room.
    `failed_items`: of those given to `map`. `ungrounded_dropped`: what replies claimed to stand in a text and did not;
    the job type counts it. `budget_spent`: some items failed because `max_requests` or `max_total_tokens` might have
    been exceeded. Tokens are estimated when the endpoint does not tell.
    """

    requests: int = 0
    repaired: int = 0
    truncated: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    failed_items: int = 0
    ungrounded_dropped: int = 0
    budget_spent: bool = False

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def as_result(self, model: str) -> dict[str, object]:
        """For the job's result, under `llm`."""
        return {"model": model, **asdict(self)}
