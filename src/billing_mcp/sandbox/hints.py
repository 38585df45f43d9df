"""Owns what an agent is told to write instead, in code, for each mistake that agents make."""

from __future__ import annotations

import re
from itertools import pairwise

from billing_mcp.domain.errors import BillingError, NotFound, Refused, ScriptFailed
from billing_mcp.kernel.invoke import unknown_function
from billing_mcp.kernel.likeness import either, meant
from billing_mcp.kernel.registry import NAMESPACE, Operation, Registry
from billing_mcp.sandbox.failure import exception_type
from billing_mcp.sandbox.names import IMPORTABLE
from billing_mcp.sandbox.typing_text import typed_dicts

_HELP = "billing.help() lists all functions and accounts."
_ALONE = f"Define it first: a script has no tools, files, network or answers to input() besides billing. {_HELP}"
_AMOUNTS = 'Amounts are exact decimal text: compute with Decimal(wallet["balance"]), and Decimal("1.2") for a number.'
_AT_ONCE = "Billing functions answer at once: call them one after the other, x = f(), in plain functions and loops."
_REFUSALS = (
    "A refusal is a PermissionError, LookupError, ValueError or RuntimeError whose text starts with its code: "
    'except RuntimeError as e, and then str(e).startswith("insufficient_funds").'
)
_IMPORTS = (
    "Do without it: billing is there without an import, print() is for what you want to see, and of the rest only "
    f"{', '.join(sorted(IMPORTABLE - {NAMESPACE, '__future__'}))} can be imported."
)

_MENDS = (
    (r"[Nn]ame '?(true|false|null|undefined)\b", "Python writes True, False and None."),
    (r"No module named 'billing\.|(Exception|Error)'?( object)? has no attribute", _REFUSALS),
    (r"\bsys\b.* '?exit|[Nn]ame '?(exit|quit|SystemExit)\b", 'End with a top-level return: return {"done": True}.'),
    (r"has_more|next_page|total_pages|next_cursor", "Go on with page + 1 while page * page_size < total."),
    (r"[Mm]odule '?datetime\b.* '?(?P<name>\w+)'?$", "datetime is the module here: write datetime.datetime.<name>."),
    (r"'datetime\.datetime' has no attribute 'utcnow'", "Write datetime.now(timezone.utc)."),
    (
        r"'datetime\.datetime' has no attribute '(?P<name>\w+)'",
        "datetime is the class here; after import datetime, datetime.<name> is what you mean.",
    ),
    (r"'datetime\.\w+' and 'str'|'str' and 'datetime\.", 'Times are text: datetime.fromisoformat(t["effective_at"]).'),
    (r"'decimal\.Decimal' and 'float'|'float' and 'decimal", 'Write the number as Decimal too: Decimal("1.2").'),
    (r"and 'str'|'str' and|non-int of type 'float'|type str doesn't|abs\(\): 'str'|literal for int", _AMOUNTS),
    (r"format code '\w' for object of type 'str'", _AMOUNTS),
    (r"\basyncio\b.* has no|async (with|for|comprehension)", _AT_ONCE),
    (
        r"cannot import name '(?P<name>\w+)'",
        'The sandbox has only parts of that module: do without <name>, for example with a dict, {"plan": plan}.',
    ),
    (r"No module named|has no member", _IMPORTS),
    (r"'coroutine' object", "Await it: x = await main()."),
    (r"JSON object must be str.* not dict", "A result is a dict already: leave json.loads() out."),
    (r"is not JSON serializable", "Write str(amount), or return the value itself: a result is JSON anyway."),
    (r"Permission denied: '/", "There are no files: print(value), or end the script with the value."),
    (r"os\.environ|os\.getenv", f"There is no environment: write the value into the script. {_HELP}"),
    (r"^StopIteration", "Nothing matches: give a default, next((...), None), and look whether it is None."),
    (r"not an iterator", "Write next(iter(rows))."),
    (r"index out of range", "It has fewer elements: rows[0] if rows else None."),
    (r"string indices must be", 'A loop over a page gives its keys: loop over page["items"].'),
    (r"list indices must be", 'It is a list: take an element, rows[0]["amount"], or loop over it.'),
    (r"'NoneType' object", 'It is None: look first, x["key"] if x else None.'),
    (r"class inheritance", 'Write it without a base class: a dict of values, or raise RuntimeError("why").'),
    (r"support yield", "Build a list and return it: rows = [], rows.append(x), return rows."),
    (r"Wildcard imports", "Write import billing, then billing.plans.list(account_id=...)."),
    (r"within map, filter", "Call it in a plain loop or comprehension: [f(account_id=a) for a in ids]."),
    (r"invalid (non-printable )?character", "Write straight quotes, \" or ', and plain spaces."),
    (r"line continuation character", r'Send it as it is, not escaped: " for \", and real line breaks for \n.'),
    (r"Missing parentheses", 'Write print(wallet["balance"]).'),
    (r"f-string", "Use other quotes within an f-string than around it: f\"{plan['price']}\"."),
    (r"unexpected indent", 'Start the line in the column of the one above: only what follows a ":" is indented.'),
    (r"^the sandbox (does not support|cannot run)", "Write it with plain functions, loops, lists and dicts."),
)
"""What is said of a mistake, by Python, the type checker or the sandbox, and the mend."""

_MORE = (
    (r"billing\.(transaction|begin|atomic|commit|rollback)\b", "Leave it out: the whole script is one transaction."),
    (r"an ISO date", "Computed: date.today() + timedelta(days=1); of a datetime, its .date()."),
    (r"the account's UUID|needs the argument account_id|does not exist", _HELP),
)
"""What a script can do about an error that has a hint for everybody."""


def add_hint(error: BillingError, line: str, remark: str, registry: Registry) -> None:
    """Let the error say how to mend the line; `remark` is what the type checker says of it."""
    if error.hint is None:
        error.hint = _of_mistake(error.message, line, remark, registry) if _is_mistake(error) else None
    more = _first(_MORE, error.message)
    if error.hint is None and isinstance(error, NotFound | Refused) and not more:
        caught = f'except {exception_type(error)} as e, and then str(e).startswith("{error.code}")'
        error.hint = f"If that is fine, catch it: {caught}."
    error.hint = " ".join(part for part in (error.hint, more) if part) or None


def _is_mistake(error: BillingError) -> bool:
    return isinstance(error, ScriptFailed) or error.code in ("syntax_error", "type_error")


def _of_mistake(message: str, line: str, remark: str, registry: Registry) -> str | None:
    if re.match(r"(raise|except)\b", line) and re.search(r"has no |not defined", message):
        return _REFUSALS
    if re.match(r"(raise|assert)\b", line):
        return 'The script itself raised this. To end without an error: return "why" at the top level.'
    return (
        _member(message, registry)
        or _first(_MENDS, message)
        or _keys(message, remark, registry)
        or _call(message, line, registry)
        or (remark or None)
    )


def _first(mends: tuple[tuple[str, str], ...], message: str) -> str | None:
    for pattern, mend in mends:
        found = re.search(pattern, message)
        if found:
            return mend.replace("<name>", found.groupdict().get("name", ""))
    return None


def _member(message: str, registry: Registry) -> str | None:
    """For a function of `billing` that is not there."""
    found = re.search(rf"[Mm]odule '?({NAMESPACE}[\w.]*)'? has no \w+ '?(\w+)", message)
    return f"{unknown_function('.'.join(found.groups()), registry).hint} {_HELP}" if found else None


def _keys(message: str, remark: str, registry: Registry) -> str | None:
    """For a result that is read otherwise than by its keys."""
    told = re.search(r"(?:attribute|key|KeyError:) ['\"]?(\w+)", message)
    wanted = told[1] if told else ""
    for operation in registry.values():
        for result in typed_dicts(operation.returns):
            if re.search(rf"\b{result.__name__}\b", f"{message}\n{remark}"):
                keys = list(result.__annotations__)
                likely = [wanted] if wanted in keys else meant(wanted, keys) or [key for key in keys if key == "items"]
                write = f": write {either([f'[{key!r}]' for key in likely])}" if likely else ""
                return f"{result.__name__} is a dict with the keys {', '.join(keys)}{write}."
    return f"A result is a dict: write [{wanted!r}]." if "'dict' object has no attribute" in message else None


def _call(message: str, line: str, registry: Registry) -> str | None:
    """For a call that is made in another language, with another tool, or by another name."""
    unknown = re.search(r"[Nn]ame '?(\w+)'? (?:is|used when) not defined", message)
    operation = _function_in(line, registry)
    if operation is not None and (unknown or "not Python" in message or "'module' object" in message):
        return f"Write {operation.arguments.usage}."
    if unknown and re.search(rf"\b{unknown[1]}\(", line) and registry.closest(unknown[1]):
        return f"Did you mean {either(registry.closest(unknown[1]))}? {_HELP}"
    if unknown:
        return _ALONE
    return "Send Python alone, for example billing.help()." if "not Python" in message else None


def _function_in(line: str, registry: Registry) -> Operation | None:
    """The function whose name stands in the line, whatever is written around it."""
    dotted = re.sub(r"\[['\"](\w+)['\"]\]", r".\1", line)
    for found in re.finditer(r"\w+(?:\.\w+)+", dotted):
        parts = found[0].split(".")
        for namespace, function in pairwise(parts):
            operation = registry.get(f"{NAMESPACE}.{namespace}.{function}")
            if operation is not None:
                return operation
    return None
