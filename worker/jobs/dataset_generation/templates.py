"""How records ask, where no model puts the question. They ask for what the text says, which nothing else can answer."""

from __future__ import annotations

from typing import Final

TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "classification": (
        "Which category does the text belong to?",
        "Assign the text to its category.",
        "Name the category of the text.",
        "Say under which heading of the taxonomy the text falls.",
    ),
    "about": (
        "Extract what the text says about {topic}.",
        "Quote the passage of the text that deals with {topic}.",
        "Find the statement about {topic} in the text.",
        "What does the text say about {topic}?",
    ),
    "about_question": (
        "What does the text say about {topic}?",
        "What is said about {topic}?",
        "Which statement does the text make about {topic}?",
        "What can be read in the text about {topic}?",
    ),
    "heading": (
        "What does section {heading} cover?",
        "What does the section {heading} say?",
        "What can be read under {heading}?",
        "What is written in section {heading}?",
    ),
    "key_points": (
        "Pick out the key sentences of the text.",
        "List the key points of the text in its own words.",
        "Quote the sentences that carry the main points of the text.",
        "Which sentences of the text matter most?",
    ),
    "sentence": (
        "Sum up the text in one sentence of its own.",
        "Which one sentence says best what the text is about?",
        "Quote the sentence that gives the gist of the text.",
        "Choose the sentence that stands for the whole text.",
    ),
    "summary": (
        "Summarise the text with sentences of its own.",
        "Shorten the text to its most important sentences.",
        "Give a summary that quotes the text.",
        "Reduce the text to what matters most, in its own words.",
    ),
    "terms": (
        "List the most important terms of the text.",
        "Which terms are central to the text?",
        "Name the key terms that the text uses.",
        "Give the words of the text that tell most about its content.",
    ),
    "entities": (
        "List every {kind} that the text names.",
        "Which mentions of the kind {kind} are in the text?",
        "Extract each {kind} from the text.",
        "Find all that is a {kind} in the text.",
    ),
    "cloze": (
        "Fill in the blank and write out the whole sentence.",
        "Replace ____ by the missing term and give the full sentence.",
        "Complete the sentence.",
        "Which term is missing? Answer with the complete sentence.",
    ),
    "own_summary": (
        "Summarise the text.",
        "Sum up the text in a few sentences.",
        "Give a short summary of the text.",
        "Say briefly what the text is about.",
    ),
    "own_question": (
        "Write a question that the text answers.",
        "Ask something that can be answered with the text.",
        "Which question does the text answer?",
        "Make up a question for a reader of the text.",
    ),
    "completion": (
        "Continue the text.",
        "Write how the text goes on.",
        "Give the rest of the text.",
        "Complete the text from where it breaks off.",
    ),
}
