"""Documents in, exact chunks out: read PDF, Markdown and text files, bring them to one normal form and cut them up."""
