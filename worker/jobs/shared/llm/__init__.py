"""Mode `llm` of the job types: parameters, a client that checks what it is told, and a driver for many items.

A job type takes `options.LlmMode` or `LlmItems` into its parameters and works inside of `session.open_llm`; quotes in
replies go through `quotes.find_quote`.
"""
