"""Hostile scripts whose text, arguments or values are the attack."""

from __future__ import annotations

from itertools import product

from tests.sandbox.hostile import ANYTHING, Case, fails, harmless

_SYNTAX = "syntax_error"
_OWN = "script_error"
_CANCEL = "billing.plan.cancel(account_id=nobody)"


def _nested(head: str, body: str, depth: int) -> str:
    return "".join(" " * i + head.format(i=i) + "\n" for i in range(depth)) + " " * depth + body


SOURCES: list[Case] = [
    fails("64 KB and a byte", "#" * (64 * 1024 + 1), "script_too_long"),
    fails("64 KB and a byte, in fewer characters", "#" + "\u00e9" * (32 * 1024), "script_too_long"),
    fails("100,000 lines", "\n" * 100_000 + "1", "script_too_long"),
    fails("as many lines as can be, then an error", "\n" * 65_000 + "1/0", _OWN),
    harmless("64 KB to the byte", "1#" + "x" * (64 * 1024 - 2), 1),
    harmless("nothing", "", None),
    harmless("nothing but blanks", " \t \n", None),
    fails("NUL", "1\0", _SYNTAX),
    fails("NUL in a text", "'\0'", _SYNTAX),
    fails("byte order mark in the middle", "1 + \ufeff1", _SYNTAX),
    fails("vertical tab", "\v1", _SYNTAX),
    fails("escape", "\x1b[31m1", _SYNTAX),
    fails("end of file", "\x1a", _SYNTAX),
    fails("line separator", "1\u2028+1", _SYNTAX),
    fails("next line", "x = 1\x85y = 2", _SYNTAX),
    fails("no-break space", "1\u00a0+ 1", _SYNTAX),
    fails("name written from right to left", "a\u202e = 1", _SYNTAX),
    harmless("text written from right to left", "'\u202e' + 'a'", "\u202ea"),
    harmless("form feed, which is a blank", "\f1 + 1", 2),
    harmless("form feed in an indentation", "if 1:\n\f  x = 1\nx", 1),
    harmless("half a character, which is replaced", "'\ud800'", "?"),
    harmless("carriage returns, which end lines", "x = 1\ry = 2\rx + y", 3),
    harmless("an encoding that is not the text's", "# -*- coding: utf-7 -*-\n'\u00e9'", "\u00e9"),
    fails("tabs and blanks", "if 1:\n\tx = 1\n        y = 2", _SYNTAX),
    fails("text without end", "'''abc", _SYNTAX),
    fails("parentheses", "(" * 3000 + ")" * 3000, _SYNTAX),
    fails("parentheses without end", "(" * 60_000, _SYNTAX),
    fails("lists", "[" * 3000 + "]" * 3000, _SYNTAX),
    fails("dicts", "{1:" * 3000 + "1" + "}" * 3000, _SYNTAX),
    fails("lambdas", "lambda:" * 5000 + "1", _SYNTAX),
    fails("negations", "not " * 10_000 + "1", _SYNTAX),
    fails("minus signs", "-" * 30_000 + "1", _SYNTAX),
    fails("awaits", "await " * 5000 + "x", _SYNTAX),
    fails("sum of many", "1" + "+1" * 10_000, _SYNTAX),
    fails("power of powers", "1" + "**1" * 10_000, _SYNTAX),
    harmless("comparison of many", "1" + "<1" * 3000, False),
    fails("attributes", "f" + ".a" * 10_000, _SYNTAX),
    fails("calls", "f" + "()" * 10_000, _SYNTAX),
    fails("indexes", "f" + "[0]" * 10_000, _SYNTAX),
    fails("choices", "1 if 1 else " * 5000 + "1", _SYNTAX),
    fails("else if", "if 0: pass\n" + "elif 0: pass\n" * 4000, _SYNTAX),
    fails("texts in texts", "f'{" * 1000 + "1" + "}'" * 1000, _SYNTAX),
    fails("annotation", "x: " + "list[" * 3000 + "int" + "]" * 3000 + " = 1", _SYNTAX),
    fails("pattern", "match 1:\n case " + "[" * 3000 + "]" * 3000 + ": pass", _SYNTAX),
    fails("clauses of a comprehension", "[x" + " for x in [1]" * 1000 + "]", _SYNTAX),
    fails("many arguments", "f(" + ",".join(["a"] * 3000) + ")", _SYNTAX, _OWN),
    fails("many managers", "with " + ",".join(["a"] * 1000) + ": pass", _SYNTAX, _OWN),
    fails("decorators", "@f\n" * 1000 + "def g(): pass", _SYNTAX, _OWN),
    fails("functions in functions", _nested("def a{i}():", "x = 1\n1", 90), _SYNTAX, "sandbox_crashed", "time_limit"),
    fails("classes in classes", _nested("class A{i}:", "x = 1", 90), _SYNTAX),
    harmless("conditions in conditions", _nested("if 1:", "pass", 90), None),
    fails("60,000 digits", "9" * 60_000, _SYNTAX),
    harmless("60,000 hexadecimal digits", "0x" + "f" * 60_000, "<integer of 240000 bits>"),
    fails("nested source for exec", "exec('(' * 10**5)", _SYNTAX),
    fails("minus signs for eval", "eval('-' * 10**5 + '1')", _SYNTAX),
]

_SLOW = ("sandbox_crashed", "time_limit", "type_error", "memory_limit")

CHECKER: list[Case] = [
    fails(
        "tuple that doubles", "x = (1,)\n" + "x = (x, x)\n" * 40 + _CANCEL, "type_error", "memory_limit", "time_limit"
    ),
    fails("list that doubles", "x = [1]\n" + "x = [x, x]\n" * 30 + _CANCEL, "type_error", "memory_limit", "time_limit"),
    fails("lambda that doubles", "x = lambda: 1\n" + "x = lambda: (x(), x())\n" * 30 + _CANCEL, "type_error"),
    fails(
        "text that doubles", "x = 'abc'\n" + "x = x + x\n" * 40 + _CANCEL, "type_error", "memory_limit", "time_limit"
    ),
    fails("long text", f"x = 'x' * 10**10\n{_CANCEL}", "type_error", "memory_limit"),
    fails("giant power", f"x = 10**10**9\n{_CANCEL}", "type_error", "memory_limit"),
    fails("conditions", "x = " + " and ".join(["(a or b)"] * 900) + f"\n{_CANCEL}", *_SLOW),
    fails("lambdas", "f = lambda x: x\n" + "f = lambda g=f: lambda x: g(g(x))\n" * 500 + _CANCEL, *_SLOW),
    fails("many mistakes", f"{_CANCEL}\n" + "\n".join(f"nope{i}.x" for i in range(1000)), "type_error"),
    fails("one mistake many times", "\n".join([_CANCEL] * 500), "type_error"),
]

_VALUES = {
    "nan": "float('nan')",
    "infinity": "float('inf')",
    "a float": "1.0",
    "a bool": "True",
    "an int of 400 digits": "10**400",
    "an int of 65 bits": "2**64",
    "nothing": "None",
    "zero": "0",
    "less than zero": "-1",
    "a digit": "'1'",
    "a long text": "'x' * 10**5",
    "NUL": "'\\0'",
    "half a character": "'\\ud800'",
    "36 halves of characters": "'\\ud800' * 36",
    "another path": "'../../etc/passwd'",
    "a piece of SQL": '"\' OR 1=1 --"',
    "bytes": "b'1'",
    "a list": "[1]",
    "a list that holds itself": "s",
    "a dict": "{'account_id': ACCOUNT}",
    "a set": "{1}",
    "a range": "range(3)",
    "a Decimal": "Decimal('1')",
    "a moment": "datetime(2026, 4, 1)",
    "a span of time": "timedelta(1)",
    "an object": "Thing()",
    "a class": "Thing",
    "a builtin": "len",
    "a lambda": "(lambda: 1)",
    "a module": "billing",
    "a function of ours": "billing.plan.cancel",
    "an error": "ValueError('x')",
    "an ellipsis": "...",
}
_ARGUMENTS = {
    "page": "billing.invoices.list(account_id=ACCOUNT, page={})",
    "page_size": "billing.transactions.list(account_id=ACCOUNT, page_size={})",
    "account_id": "billing.wallet_balance.get(account_id={})",
    "plan_id": "billing.plan.change(account_id=ACCOUNT, plan_id={})",
    "effective_date": "billing.plan.change(account_id=ACCOUNT, plan_id='smtp_per_proxy', effective_date={})",
    "cancel_immediately": "billing.plan.cancel(account_id=ACCOUNT, cancel_immediately={})",
}
_GOOD = {("effective_date", "nothing"), ("cancel_immediately", "a bool")}
_IMPORTS = """\
from datetime import datetime, timedelta
from decimal import Decimal
s = []
s.append(s)
class Thing: pass
"""

ARGUMENTS: list[Case] = [
    fails(f"{value} as {argument}", _IMPORTS + call.format(text), "invalid_argument", "type_error")
    for (argument, call), (value, text) in product(_ARGUMENTS.items(), _VALUES.items())
    if (argument, value) not in _GOOD
] + [
    fails("an argument that is half a character", "billing.wallet_balance.get(**{'\\ud800': 1})", "unknown_argument"),
    fails("a long name", "billing.wallet_balance.get(**{'x' * 10**5: 1})", "unknown_argument"),
    fails("1000 arguments", "billing.wallet_balance.get(**{f'x{i}': i for i in range(1000)})", "unknown_argument"),
    fails("a key that is no text", "billing.wallet_balance.get(**{1: 2})", _OWN, "syntax_error"),
    fails("positions", "billing.wallet_balance.get(*[ACCOUNT] * 1000)", "positional_argument"),
    fails(
        "an account of nobody",
        "billing.wallet_balance.get(account_id='0190c0de-0000-7000-8000-ffffffffffff')",
        "not_found",
    ),
    fails(
        "a list of the same text for help", "billing.help(['x' * 1000] * 100)", "unknown_function", "invalid_argument"
    ),
    fails("a number for help", "billing.help(3)", "unknown_function", "invalid_argument"),
    fails("a module for help", "billing.help(billing.plan)", "unknown_function", "invalid_argument"),
]

RESULTS: list[Case] = [
    harmless("builtin", "print", "<print>"),
    harmless("module", "billing", "<module>"),
    harmless("function of ours", "billing.plan.change", "billing.plan.change"),
    harmless("class", "int", "<int>"),
    harmless("ellipsis", "...", "<ellipsis>"),
    harmless("bytes", "b'\\xff'", "<bytes>"),
    harmless("complex number", "1j", "<complex>"),
    harmless("error", "ValueError('x')", "x"),
    harmless("error that cannot be made", "UnicodeDecodeError('x')", "x"),
    harmless("nan and infinities", "[float('nan'), float('-inf'), float('inf')]", ["nan", "-inf", "inf"]),
    harmless("nan and others as keys", "{float('nan'): 1, True: 2, None: 3}", {"nan": 1, "true": 2, "null": 3}),
    harmless("half a character", "{'\\ud800': '\\udfff'}", {"\ufffd": "\ufffd"}),
    harmless("error with half a character", "ValueError('\\ud800')", "\ufffd"),
    harmless("list that holds itself", "x = []\nx.append(x)\nx", ["[...]"]),
    harmless("dict that holds itself", "d = {}\nd['d'] = d\nd", {"d": "{...}"}),
    harmless("lists that hold each other", "a = []\nb = [a]\na.append(b)\na", [["[...]"]]),
    harmless("object that holds itself", "class A: pass\na = A()\na.me = a\na", {"me": "..."}),
    harmless("a mark of our own", "{'_omitted': 'no'}", {"_omitted": "no"}),
    harmless("names that other languages mind", "{'__proto__': 1}", {"__proto__": 1}),
    harmless("an answer of its own", "{'status': 'failed', 'changed': True}", {"status": "failed", "changed": True}),
    harmless("long text, which is left out", "'x' * 10**6", {"_omitted": "a string of 1000000 characters"}),
    fails("object without a class", "object()", _OWN),
    fails("long list", "list(range(10**7))", "memory_limit"),
]

DEEP_RESULTS: list[Case] = [
    harmless("lists in the source", "[" * 90 + "]" * 90, ANYTHING),
    harmless("lists", "x = []\nfor _ in range(50_000): x = [x]\nx", ANYTHING),
    harmless("dicts", "x = {}\nfor _ in range(50_000): x = {'a': x}\nx", ANYTHING),
    harmless("tuples", "x = ()\nfor _ in range(50_000): x = (x,)\nx", ANYTHING),
    harmless("objects", "class A: pass\na = None\nfor i in range(10_000):\n  b = A()\n  b.x = a\n  a = b\na", ANYTHING),
]
"""Values too deep to be written here; each comes back as deep as 30, with a mark at its bottom."""
