"""Hostile scripts that use too much: time, memory, depth, output, calls, or a lock that others wait for."""

from __future__ import annotations

from tests.sandbox.hostile import Case, fails, harmless

GET = "billing.wallet_balance.get(account_id=ACCOUNT)"
CANCEL = "billing.plan.cancel(account_id=ACCOUNT)"
RESUME = "billing.plan.resume(account_id=ACCOUNT)"

DOUBLED = "x = [0]\nfor _ in range(60): x = [x, x]\n"
"""A list that is small, and whose text is longer than anything."""

_TIME = "time_limit"
_MEMORY = "memory_limit"
_STUCK = ("time_limit", "sandbox_crashed")
_GROWTH = ("memory_limit", "time_limit")

LOOPS: list[Case] = [
    fails("while", "while True: pass", _TIME),
    fails("infinite iterator", "import itertools\nfor _ in itertools.count(): pass", _TIME),
    fails("iterator without end", "for _ in iter(int, 1): pass", _TIME),
    fails("comprehension that feeds itself", "x = [1]\n[x.append(1) for _ in x]", *_GROWTH),
    fails("list that grows as it is read", "x = [1]\nfor i in x: x.append(i)", *_GROWTH),
    fails("generator without end", "def g():\n  while True: yield 1\nsum(g())", "syntax_error", _TIME),
    fails("loop in finally", "while True:\n  try: continue\n  finally: continue", _TIME),
    fails(
        "return that finally takes back", "def f():\n  while 1:\n    try: return 1\n    finally: continue\nf()", _TIME
    ),
    fails(
        "loop that catches its own end",
        "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
        _TIME,
    ),
    fails(
        "interrupt that is caught", "try: raise KeyboardInterrupt\nexcept KeyboardInterrupt: pass\nwhile 1: pass", _TIME
    ),
    fails("loop in exec", "exec('while True: pass')", _TIME),
    fails("sleep after sleep", "import time\nwhile True: time.sleep(10**6)", _TIME),
    harmless("giant sleep, which takes no time", "import time\ntime.sleep(10**9)", None),
    fails("infinite sleep", "import time\ntime.sleep(float('inf'))", "script_error"),
    fails("negative sleep", "import time\ntime.sleep(-1)", "script_error"),
    fails("sum of lists", "sum([[1]] * 10**6, [])", *_GROWTH),
    fails(
        "equality of doubled lists",
        f"def m():\n  {DOUBLED.replace(chr(10), chr(10) + '  ')}\n  return x\nm() == m()",
        *_STUCK,
    ),
    fails("sort by a key that never ends", "def k(x):\n  while True: pass\nsorted([2, 1], key=k)", _TIME),
]

MEMORY: list[Case] = [
    fails("long text", "'x' * 10**10", _MEMORY),
    fails("long bytes", "b'x' * 10**10", _MEMORY),
    fails("long list", "[0] * 10**9", _MEMORY),
    fails("list of a giant range", "list(range(10**12))", _MEMORY),
    fails("text that doubles", "x = 'x'\nwhile True: x += x", _MEMORY),
    fails("list that grows", "x = []\nwhile True: x.append('x' * 1000)", *_GROWTH),
    fails("dict that grows", "d = {}\nfor i in range(10**9): d[i] = 'x' * 100", *_GROWTH),
    fails("set that grows", "s = set()\nfor i in range(10**9): s.add((i, i, i))", *_GROWTH),
    fails("join", "','.join(['x' * 10**6] * 10**4)", _MEMORY),
    fails("replace", "('a' * 10**4).replace('a', 'b' * 10**6)", _MEMORY),
    fails("padding", "'x'.ljust(10**10)", _MEMORY),
    fails("padding to the largest size", "'x'.center(2**62)", _MEMORY),
    fails("text of a doubled list", DOUBLED + "str(x)", *_GROWTH, "sandbox_crashed"),
    fails("json of a doubled list", "import json\n" + DOUBLED + "json.dumps(x)", *_GROWTH),
    fails("source for exec", "exec('x=1\\n' * 10**6)", *_GROWTH),
    fails("limit that is caught", "try:\n  x = 'x' * 10**10\nexcept BaseException:\n  x = 1\nx", _MEMORY),
    fails("arguments of a print", "print(*range(10**6), sep='x' * 100)", *_GROWTH),
]

RECURSION: list[Case] = [
    fails("function", "def f(): return f()\nf()", "script_error"),
    fails("two functions", "def f(): g()\ndef g(): f()\nf()", "script_error"),
    fails("lambda", "(lambda f: f(f))(lambda f: f(f))", "script_error"),
    fails("recursion that is caught", "def f():\n  try: f()\n  except RecursionError: f()\nf()", _TIME, "script_error"),
    fails("repr", "class R:\n  def __repr__(self): return repr(self)\nrepr(R())", "script_error"),
    fails("printed repr", "class R:\n  def __repr__(self): return repr(self)\nprint(R())", "script_error"),
    fails("equality", "class R:\n  def __eq__(self, o): return self == o\nR() == R()", "script_error"),
    fails("hash", "class R:\n  def __hash__(self): return hash(self)\n{R(): 1}", "script_error"),
    fails("exec", "s = 'exec(s)'\nexec(s)", "script_error"),
    fails("coroutine", "async def f(): return await f()\nawait f()", "script_error"),
    fails(
        "gathered coroutines",
        "import asyncio\nasync def f(): await asyncio.gather(f(), f())\nasyncio.run(f())",
        "script_error",
    ),
    fails("lists in a recursion", "def f(x): return [f([x])]\nf(1)", "script_error", _MEMORY),
]

NUMBERS: list[Case] = [
    fails("power of a power", "10**10**8", _MEMORY),
    fails("power of two", "2**(2**40)", _MEMORY),
    fails("shift", "1 << (1 << 40)", _MEMORY),
    fails("squares without end", "x = 3\nwhile True: x = x * x", *_STUCK, _MEMORY),
    fails("factorial", "import math\nmath.factorial(10**7)", *_GROWTH, "sandbox_crashed"),
    fails("binomial", "import math\nmath.comb(10**7, 5 * 10**6)", *_GROWTH, "sandbox_crashed"),
    fails("modular power", "pow(3, 10**100000, 10**100000 + 1)", *_STUCK),
    fails("int of a long text", "int('9' * 10**6)", "script_error"),
    fails("text of a long int", "str(10**100000)", "script_error"),
    fails("range beyond any size", "range(10**30)", "script_error"),
    fails("int of a giant Decimal", "from decimal import Decimal\nint(Decimal('1E+999999999'))", _MEMORY),
    fails(
        "fraction of a giant Decimal",
        "from decimal import Decimal\nDecimal('1E+999999999').as_integer_ratio()",
        _MEMORY,
    ),
    fails("digits of a giant Decimal", "from decimal import Decimal\nf\"{Decimal('1E+999999999'):f}\"", _MEMORY),
    fails("round of a giant Decimal", "from decimal import Decimal\nround(Decimal('1E+999999999'))", _MEMORY),
    fails("precision", "from decimal import *\nx = 1", "script_error"),
    fails(
        "giant precision", "from decimal import Decimal, getcontext\ngetcontext().prec = 10**9\nDecimal(1) / 3", _MEMORY
    ),
    fails("power of a Decimal", "from decimal import Decimal\nDecimal('1.000001') ** Decimal(10**18)", "script_error"),
    fails("Decimal of many digits", "from decimal import Decimal\nDecimal('9' * 10**6)", "script_error"),
    fails(
        "quantize to nothing", "from decimal import Decimal\nDecimal(1).quantize(Decimal('1E-999999'))", "script_error"
    ),
    harmless(
        "giant Decimal, which is a short text", "from decimal import Decimal\nDecimal('1E+999999999')", "1E+999999999"
    ),
    harmless("int of 5000 digits, which is not written out", "10**5000", "<integer of 16610 bits>"),
]

REGEX: list[Case] = [
    harmless("nested quantifiers, searched in linear time", "import re\nre.match(r'(a+)+$', 'a' * 5000 + 'b')", None),
    harmless("overlapping choices, searched in linear time", "import re\nre.fullmatch(r'(a|a)*b', 'a' * 5000)", None),
    fails("automaton beyond all sizes", "import re\nre.compile('(x{1000}){1000}')", "script_error"),
    fails("pattern in a pattern", "import re\nre.compile('(' * 10**5 + ')' * 10**5)", "script_error", _MEMORY),
    fails("replacements without measure", "import re\nre.sub('a', 'b' * 10**6, 'a' * 10**5)", *_GROWTH),
]

OUTPUT: list[Case] = [
    fails("endless", "while True: print('x' * 100)", "output_limit", _TIME),
    fails(
        "endless, and caught",
        "while True:\n  try: print('x' * 100)\n  except BaseException: pass",
        "output_limit",
        _TIME,
    ),
    fails("one long text", "print('x' * 10**6)", "output_limit"),
    fails("an end without end", "print(end='x' * 10**6)", "output_limit"),
    fails("to standard error", "import sys\nwhile True: print('x' * 100, file=sys.stderr)", "output_limit", _TIME),
    fails("a doubled list", DOUBLED + "print(x)", *_GROWTH, "sandbox_crashed"),
    fails("a message of the protocol", 'print(\'{"jsonrpc":"2.0","id":1,"result":{}}\')\n1/0', "script_error"),
    fails("a frame of the protocol", "print('Content-Length: 5\\r\\n\\r\\n12345')\n1/0", "script_error"),
    fails(
        "what steers a terminal",
        "print('\\x00\\x1b[2J\\x1b]0;x\\x07\\r\\b\\x7f\\u2028\\u202e\\ufeff')\n1/0",
        "script_error",
    ),
    fails("half a character", "print('\\ud800')\n1/0", "script_error"),
    fails("around print", "import sys\nsys.stdout.write('x')", "script_error"),
]

ASYNC: list[Case] = [
    fails(
        "loop that yields",
        "import asyncio\nasync def m():\n  while True: await asyncio.sleep(0)\nasyncio.run(m())",
        _TIME,
        "call_limit",
    ),
    fails(
        "event that never comes",
        "import asyncio\nasync def m(): await asyncio.Event().wait()\nasyncio.run(m())",
        "script_error",
    ),
    fails("future that never comes", "import asyncio\nawait asyncio.Future()", "script_error"),
    fails("loop of its own", "import asyncio\nasyncio.new_event_loop().run_forever()", "script_error"),
    harmless("giant sleep, which takes no time", "import asyncio\nawait asyncio.sleep(10**9)", None),
    harmless("awaited number", "await 3", 3),
    harmless("coroutine that nobody awaits", "async def f(): return 2\nx = f()\n1", 1),
]

LOCKS: list[Case] = [
    fails("loop", f"{CANCEL}\nwhile True: pass", "write_time_limit"),
    fails("sleep", f"{CANCEL}\nimport time\nwhile True: time.sleep(60)", "write_time_limit"),
    fails("squares", f"{CANCEL}\nx = 3\nwhile True: x = x * x", "write_time_limit", _MEMORY),
    fails("calls", f"{CANCEL}\nwhile True: {GET}", "write_time_limit", "call_limit"),
    fails(
        "calls that are caught",
        f"{CANCEL}\nwhile 1:\n  try: {GET}\n  except BaseException: pass",
        "write_time_limit",
        "call_limit",
    ),
    fails("help", f"{CANCEL}\nwhile True: billing.help()", "write_time_limit", "call_limit"),
    fails(
        "unknown names",
        f"{CANCEL}\nwhile 1:\n  try: eval('nowhere')\n  except NameError: pass",
        "write_time_limit",
        "call_limit",
    ),
    fails("changes without end", f"while True:\n  {CANCEL}\n  {RESUME}", "write_time_limit", "call_limit"),
    fails("output", f"{CANCEL}\nwhile True: print('x' * 100)", "output_limit", "write_time_limit"),
    fails("memory", f"{CANCEL}\n'x' * 10**10", _MEMORY),
    fails(
        "loop that catches its end",
        f"{CANCEL}\ntry:\n  while True: pass\nexcept BaseException: pass",
        "write_time_limit",
    ),
    fails("loop before the change", f"{GET}\nfor i in range(10**9): pass\n{CANCEL}", _TIME, "write_time_limit"),
    fails("change in the finally of a loop", f"try:\n  while True: pass\nfinally: {CANCEL}", _TIME, "write_time_limit"),
    fails("change, then a giant message", f"{CANCEL}\nraise ValueError('x' * 10**6)", "script_error"),
    fails("change, then exit", f"{CANCEL}\nraise SystemExit(0)", "script_error"),
    fails(
        "change in exec, then an error",
        "exec('billing.plan.cancel(account_id=' + repr(ACCOUNT) + ')')\n1/0",
        "script_error",
    ),
    fails("change, giant sleep, then an error", f"{CANCEL}\nimport time\ntime.sleep(10**9)\n1/0", "script_error"),
]

FLOODS: list[Case] = [
    fails("one call too many", f"for i in range(51): {GET}", "call_limit"),
    fails("every error swallowed", f"while True:\n  try: {GET}\n  except BaseException: pass", "call_limit"),
    fails(
        "calls that fail",
        "while True:\n  try: billing.wallet_balance.get(account_id='x')\n  except BaseException: pass",
        "call_limit",
    ),
    fails(
        "refused changes",
        "while True:\n  try: billing.plan.resume(account_id=ACCOUNT)\n  except RuntimeError: pass",
        "call_limit",
        "write_time_limit",
    ),
    fails("help", "while True: billing.help()", "call_limit", _TIME),
    fails("names that are nowhere", "while True:\n  try: nowhere\n  except NameError: pass", "call_limit", _TIME),
    fails(
        "the environment",
        "import os\nwhile True:\n  try: os.getenv('X')\n  except RuntimeError: pass",
        "call_limit",
        _TIME,
    ),
    fails(
        "long arguments",
        "s = 'x' * 10**5\nwhile 1:\n  try: billing.wallet_balance.get(account_id=s)\n  except ValueError: pass",
        "call_limit",
        _TIME,
    ),
    fails(
        "large pages", "while True: billing.transactions.list(account_id=ACCOUNT, page_size=100)", "call_limit", _TIME
    ),
]
