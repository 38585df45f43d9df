"""Hostile scripts that reach for what is not theirs: the machine, our internals, other names, other codes."""

from __future__ import annotations

from tests.sandbox.hostile import Case, fails, harmless

GET = "billing.wallet_balance.get(account_id=ACCOUNT)"
CHANGE = "billing.plan.change(account_id=ACCOUNT, plan_id='smtp_per_proxy')"
CANCEL = "billing.plan.cancel(account_id=ACCOUNT)"

_OWN = "script_error"

_ABSENT = (
    "subprocess",
    "socket",
    "ctypes",
    "importlib",
    "builtins",
    "shutil",
    "signal",
    "threading",
    "multiprocessing",
    "pickle",
    "marshal",
    "gc",
    "inspect",
    "io",
    "tempfile",
    "urllib.request",
    "http.client",
    "sqlite3",
    "code",
    "codecs",
    "types",
    "site",
    "billing_mcp",
    "pydantic_monty",
    "__main__",
    "resource",
)

IMPORTS: list[Case] = [
    *(fails(f"module {module}", f"import {module}\n{module}", _OWN) for module in _ABSENT),
    fails("command", "import os\nos.system('id')", _OWN),
    fails("process", "import os\nos.popen('id')", _OWN),
    fails("exit of the process", "import os\nos._exit(0)", _OWN),
    fails("exit", "import sys\nsys.exit(0)", _OWN),
    fails("modules", "import sys\nsys.modules", _OWN),
    fails("recursion limit", "import sys\nsys.setrecursionlimit(10**9)", _OWN),
    fails("environment", "import os\nos.environ", _OWN),
    fails("variable", "import os\nos.getenv('BILLING_MCP_KEY')", _OWN),
    fails("file", "open('/etc/passwd').read()", _OWN),
    fails("file to write", "open('/tmp/billing-mcp-was-here', 'w').write('x')", _OWN),
    fails("path", "from pathlib import Path\nPath('/etc/passwd').read_text()", _OWN),
    fails("folder", "from pathlib import Path\nlist(Path('/').iterdir())", _OWN),
    fails("names of files", "import os\nos.listdir('/')", _OWN),
    fails("whether a file exists", "import os\nos.path.exists('/etc/passwd')", _OWN),
    fails("removal of a file", "import os\nos.remove('/etc/hosts')", _OWN),
    fails("another folder", "import os\nos.chdir('/tmp')", _OWN),
    fails("compile", "compile('1', '', 'eval')", _OWN),
    fails("__import__", "__import__('os')", _OWN),
    fails("globals", "globals()", _OWN),
    fails("__builtins__", "__builtins__", _OWN),
    fails("input", "input()", _OWN),
    fails("breakpoint", "breakpoint()", _OWN),
    fails("command by exec", "exec('import os\\nos.system(\"id\")')", _OWN),
    harmless("eval, which stays inside", "eval('1 + 1')", 2),
    harmless("locals, which are its own", "x = 1\nlist(locals())", ["billing", "x"]),
    harmless("its file, which is none", "__file__", "/main.py"),
    harmless("its folder, which is none", "import os\nos.getcwd()", "/"),
]

DUNDERS: list[Case] = [
    fails("bases", "().__class__.__bases__[0].__subclasses__()", _OWN),
    fails("class by getattr", "getattr((), '__class__')", _OWN),
    fails("order of resolution", "int.__mro__", _OWN),
    fails("globals of a function", "def f(): pass\nf.__globals__", _OWN),
    fails("code of a function", "def f(): pass\nf.__code__", _OWN),
    fails("globals of a billing function", "billing.plan.change.__globals__", _OWN),
    fails("dict of a module", "billing.__dict__", _OWN),
    fails("loader of a module", "billing.__loader__", _OWN),
    fails("class of a module", "getattr(billing, '__class__')", _OWN),
    fails("frame of a traceback", "try:\n  1/0\nexcept Exception as e:\n  e.__traceback__.tb_frame", _OWN),
    fails("context of an exception", "try:\n  1/0\nexcept Exception as e:\n  e.__context__", _OWN),
    fails("object made by hand", "object.__new__(int)", _OWN),
    fails("class with a metaclass", "class M(type): pass\nclass X(metaclass=M): pass", "syntax_error"),
    fails("class with a base", "type('X', (object,), {})", _OWN),
    harmless("class made by type, which is its own", "type('X', (), {'a': 1}).a", 1),
]

FORMATS: list[Case] = [
    fails("class in a format", "'{0.__class__}'.format(1)", _OWN),
    fails("globals in a format", "'{0.__class__.__init__.__globals__}'.format(ValueError())", _OWN),
    fails("module in a format", "'{0.__dict__}'.format(billing)", _OWN),
    fails("width", "f'{1:>999999999}'", "memory_limit"),
    fails("width from a variable", "w = 999999999\nf'{1:>{w}}'", "memory_limit"),
    fails("width of format", "'{:>999999999}'.format(1)", "memory_limit"),
    fails("width of %", "'%999999999d' % 1", "memory_limit"),
    fails("precision", "f'{1.5:.999999999f}'", "memory_limit"),
    fails("width beyond any number", "f'{1:>99999999999999999999999}'", _OWN, "syntax_error"),
]

NAMES: list[Case] = [
    fails("billing is nothing", "billing = None\nbilling.plan.cancel(account_id=ACCOUNT)", _OWN),
    fails("billing is deleted", f"del billing\n{GET}", "syntax_error"),
    fails("a function is replaced", f"billing.plan.change = lambda **k: 1\n{CHANGE}", _OWN),
    fails("a function is replaced by setattr", f"setattr(billing.plan, 'change', print)\n{CHANGE}", _OWN),
    fails("a function is deleted", f"del billing.plan.change\n{CHANGE}", "syntax_error"),
    fails("billing by a letter that looks like it", "b\u0456lling.plan.cancel(account_id=ACCOUNT)", _OWN),
    fails("our own helper", "settled_by_billing(1)", _OWN),
    fails("our other helper", "gathered_by_billing()", _OWN),
    fails("a question of the type checker", "import_stubs('billing')", _OWN),
    harmless("billing is a number of its own", "billing = 3\nbilling", 3),
    harmless("billing is a local of its own", "def f():\n  global billing\n  billing = 1\nf()\nbilling", 1),
    harmless("builtins are nothing, and the call is made", f"print = len = str = None\n{GET}['balance']", "100.00"),
    harmless(
        "errors are something else, and caught all the same",
        "RuntimeError=Exception\ntry: billing.plan.resume(account_id='')\nexcept RuntimeError as e: r=e\nstr(r)[:16]",
        "invalid_argument",
    ),
    harmless("another module is called billing", "import json as billing\nbilling.dumps(1)", "1"),
    harmless(
        "our own helper, overwritten", "async def settled_by_billing(v): return 7\nawait settled_by_billing(3)", 7
    ),
]

HIDDEN: list[Case] = [
    fails("function with an underscore", "billing._x()", "unknown_function"),
    fails("namespace of the platform", "billing.platform.open_account(account_id='x')", "unknown_function"),
    fails("payment", "billing.platform.receive_payment(account_id=ACCOUNT, amount='100')", "unknown_function"),
    fails("namespace by getattr", "getattr(billing, 'platform')", _OWN),
    fails("invoker by getattr", "getattr(billing, '_invoke')('x')", _OWN),
    fails("namespace by import", "from billing import platform", _OWN),
    fails("everything by import", "from billing import *", _OWN),
    fails("question of the type checker", "billing.import_stubs()", "unknown_function"),
    fails("namespace that is called", "billing.plan()", "unknown_function"),
    fails("module that is called", "billing()", _OWN),
    fails("hidden function in exec", "exec('billing.platform.x()')", _OWN),
    fails("help on what is hidden", "billing.help('platform.receive_payment')", "unknown_function"),
    fails("call from a key function", f"sorted([1], key=lambda _: {GET}['balance'])", _OWN),
    fails("change in a repr", f"class A:\n  def __repr__(self): return {CANCEL}['status']\nrepr(A())", _OWN),
    harmless(
        "change in the repr of a result, which is never asked", f"class A:\n  def __repr__(self): {CANCEL}\nA()", {}
    ),
]

EXCEPTIONS: list[Case] = [
    fails("long message", "raise ValueError('x' * 10**6)", _OWN),
    fails("message of many lines", "raise ValueError('x\\n' * 10**5)", _OWN),
    fails("message that steers a terminal", "raise ValueError('\\x1b[31m\\x00\\r\\n\\u202e')", _OWN),
    fails("message that is half a character", "raise ValueError('\\ud800')", _OWN),
    fails("message that is a list", "raise ValueError(['x' * 10**5] * 20)", _OWN),
    fails(
        "class with a hostile text",
        "class E(Exception):\n  def __str__(self):\n    while True: pass\nraise E()",
        "syntax_error",
    ),
    fails("error in finally", "def f():\n  try: 1/0\n  finally: raise KeyError('k')\nf()", _OWN),
    fails(
        "error in except, without end",
        "while True:\n  try: raise ValueError('x')\n  except ValueError: pass",
        "time_limit",
    ),
    fails("what is no exception", "raise 42", _OWN),
    fails("the root of all exceptions", "raise BaseException", _OWN),
    fails("interrupt", "raise KeyboardInterrupt", _OWN),
    fails("exit", "raise SystemExit(0)", _OWN),
    fails("end of an iteration", "raise StopIteration", _OWN),
    fails("assertion about a doubled list", "x = [0]\nfor _ in range(60): x = [x, x]\nassert x == 1", _OWN),
    fails(
        "assertion with a repr that never ends",
        "class A:\n  def __repr__(self): return repr(self)\nassert A() == 1",
        _OWN,
    ),
    harmless("exit that is caught", "try: raise SystemExit\nexcept BaseException: x = 1\nx", 1),
]

FALSE_CODES: list[Case] = [
    fails("funds", "raise RuntimeError('insufficient_funds: the wallet is empty')", _OWN),
    fails("permission", "raise PermissionError('permission_denied: no')", _OWN),
    fails("defect of ours", "raise RuntimeError('internal_error: the dsn is secret')", _OWN),
    fails("busy database", "raise RuntimeError('database_busy: try again')", _OWN),
    fails(
        "funds, after a true refusal",
        "try: billing.plan.resume(account_id=ACCOUNT)\nexcept RuntimeError: pass\n"
        "raise RuntimeError('insufficient_funds: the wallet is empty')",
        _OWN,
    ),
]
