"""Months of billing as texts: what happens, and what must come out, so that every figure can be checked by hand.

Each `*.txt` here is one scenario. Above `=== What must come out ===` stands what happens, a line for each act; below it
the ledger, the invoices and where the account stands. `python -m tests.scenarios.run` plays them and compares;
`--update` writes the lower halves anew, which somebody then has to check: `arithmetic.py` adds up every figure of a
text once more and shares nothing with the product, but it cannot know what should have been charged.
"""
