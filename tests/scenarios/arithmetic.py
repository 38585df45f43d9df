"""A second pair of hands: every figure in a scenario's text is worked out again from the text alone.

It shares nothing with the product, not even how numbers are read. What is in a comment as `29.00 x 10/31 = 9.354839` is
worked out, too, to as many decimals as it says.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import groupby

_NUMBER = r"-?\d+(?:\.\d+)?"
_LINE = re.compile(
    rf"     (?P<quantity>{_NUMBER}) [\w ]+ x (?P<price>{_NUMBER})(?: x (?P<days>\d+)/(?P<whole>\d+))?"
    rf" = (?P<exact>{_NUMBER}), in cents: (?P<cents>{_NUMBER})"
)
_TOTALS = re.compile(
    rf"  net (?P<net>{_NUMBER}) \| credits (?P<credits>{_NUMBER}) \| VAT(?: (?P<rate>{_NUMBER}) %)? (?P<vat>{_NUMBER})"
    rf" \| total (?P<total>{_NUMBER})"
)
_PAID = re.compile(rf"  settled (?P<settled>{_NUMBER}) \| due (?P<due>{_NUMBER}) \| (?P<status>\w+)")
_LEG = re.compile(rf"(?P<account>[a-z]+(?::\w+)?) (?P<amount>{_NUMBER})")
_TIMES = re.compile(r"[-\d: ]+ [a-z]+, (\d+) times: ")
_TERM = rf"\(*{_NUMBER}\)*"
_SUM = re.compile(rf"({_TERM}(?: [-+x/] {_TERM}|/{_TERM})+) = ({_NUMBER})")
_WALLET = re.compile(rf"  wallet: available (?P<available>{_NUMBER}), reserved (?P<reserved>{_NUMBER})")
_OWED = re.compile(rf"  owed: (?P<owed>{_NUMBER})")
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_MICRO = Fraction(1, 1_000_000)


def check(text: str) -> list[str]:
    """What of a scenario's text does not add up."""
    lower = text.partition("=== What must come out ===")[2]
    told = [line for line in lower.splitlines() if not line.lstrip().startswith("#")]
    blocks = [list(block) for filled, block in groupby(told, key=lambda line: bool(line.strip())) if filled]
    if not blocks or blocks[0][0] != "LEDGER" or not blocks[-1][0].startswith("ON "):
        return ["it does not begin with the ledger, and end with where the account stands"]
    ledger, *invoices, standing = blocks
    problems = [*_comments(text), *_ledger(ledger, standing)]
    for invoice in invoices:
        problems += [f"{invoice[0].split(' for ')[0]}: {problem}" for problem in _invoice(invoice)]
    return [*problems, *_revenue(ledger, invoices)]


def _comments(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if not line.lstrip().startswith("#") or "=" not in line:
            continue
        sums = _SUM.findall(line)
        if len(sums) != line.count("="):
            yield f"no sum that can be worked out: {line.strip()}"
        for left, right in sums:
            if _rounded(_value(left), len(right.partition(".")[2])) != Fraction(right):
                yield f"{left.strip()} is not {right}: {line.strip()}"


def _value(text: str) -> Fraction:
    def of(node: ast.expr) -> Fraction:
        if isinstance(node, ast.BinOp):
            return _OPERATORS[type(node.op)](of(node.left), of(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -of(node.operand)
        assert isinstance(node, ast.Constant)
        return Fraction(str(ast.get_source_segment(source, node)))

    source = text.replace("x", "*").strip()
    return of(ast.parse(source, mode="eval").body)


def _ledger(ledger: list[str], standing: list[str]) -> Iterator[str]:
    """Each transaction sums to zero, and all of them to the wallet and what is owed."""
    sums: dict[str, Fraction] = {}
    for legs in _legs(ledger):
        if sum(legs.values()):
            yield f"the ledger's {legs} do not sum to zero"
        for name, amount in legs.items():
            sums[name] = sums.get(name, Fraction()) + amount
    said = "\n".join(standing)
    wallet, owed = _WALLET.search(said), _OWED.search(said)
    if wallet is None or owed is None:
        yield "it does not say what is in the wallet, and owed"
        return
    for name, figure in (("available", wallet["available"]), ("reserved", wallet["reserved"])):
        if sums.get(name, 0) != Fraction(figure):
            yield f"{name} is {figure}, and the ledger's entries sum to {float(sums.get(name, 0))}"
    if -sums.get("receivable", Fraction()) != Fraction(owed["owed"]):
        yield f"owed is {owed['owed']}, and the ledger's receivable sums to {float(sums.get('receivable', 0))}"


def _legs(ledger: list[str]) -> Iterator[dict[str, Fraction]]:
    times = 1
    for line in ledger:
        if not line.startswith(" "):
            often = _TIMES.match(line)
            times = int(often[1]) if often else 1
        elif not line.startswith("  with the line"):
            yield {leg["account"]: times * Fraction(leg["amount"]) for leg in _LEG.finditer(line)}


def _invoice(invoice: list[str]) -> Iterator[str]:
    """Lines are quantity times price, rounded once; net is their sum; VAT is on what credits have not paid."""
    totals, paid = _TOTALS.search("\n".join(invoice)), _PAID.search("\n".join(invoice))
    if totals is None or paid is None:
        yield "it has no totals"
        return
    net = Fraction()
    for line in invoice:
        if line.startswith("     "):
            cents, problems = _line(line)
            net += cents
            yield from problems
    if net != Fraction(totals["net"]):
        yield f"the lines sum to {float(net)}, not {totals['net']}"
    taxed = net - Fraction(totals["credits"])
    vat = _half_up(taxed * Fraction(totals["rate"] or 0))
    if vat != Fraction(totals["vat"]):
        yield f"VAT is {float(vat)}, not {totals['vat']}"
    if taxed + vat != Fraction(totals["total"]):
        yield f"the total is {float(taxed + vat)}, not {totals['total']}"
    due = Fraction(paid["due"])
    if Fraction(paid["settled"]) + due != Fraction(totals["total"]):
        yield "what is settled and what is due are not the total"
    if (paid["status"] == "past_due") != (due > 0):
        yield f"{paid['due']} is due, and it is {paid['status']}"


def _line(line: str) -> tuple[Fraction, list[str]]:
    """What a line comes to in cents, and what is wrong with it."""
    found = _LINE.fullmatch(line)
    if found is None:
        return Fraction(), [f"no line that can be worked out: {line.strip()}"]
    problems = []
    part = Fraction(int(found["days"]), int(found["whole"])) if found["days"] else Fraction(1)
    whole, exact = Fraction(found["quantity"]) * Fraction(found["price"]), Fraction(found["exact"])
    # A part of a period is what is due up to its end, less what is due up to its start: each is rounded.
    if abs(exact - whole * part) > (_MICRO if found["days"] else 0):
        problems.append(f"{found['quantity']} x {found['price']} x {part} is not {found['exact']}")
    if _rounded(exact, 2) != Fraction(found["cents"]):
        problems.append(f"{found['exact']} is not {found['cents']} in cents")
    return Fraction(found["cents"]), problems


def _revenue(ledger: list[str], invoices: list[list[str]]) -> Iterator[str]:
    """What all invoices and credit notes come to is what the ledger has earned, and rounded."""
    earned = sum((legs.get(name, Fraction()) for legs in _legs(ledger) for name in ("revenue", "rounding")), Fraction())
    billed = Fraction()
    for invoice in invoices:
        if (totals := _TOTALS.search("\n".join(invoice))) is not None:
            billed += Fraction(totals["net"])
    if earned != billed:
        yield f"the ledger has earned {float(earned)}, and invoices come to {float(billed)}"


def _half_up(cents: Fraction) -> Fraction:
    """VAT is rounded away from zero where it is half a cent, as offices do; all else to the even."""
    away = (abs(cents) + Fraction(1, 2)) // 1
    return Fraction(int(away if cents >= 0 else -away), 100)


def _rounded(number: Fraction, decimals: int) -> Fraction:
    return Fraction(round(number * 10**decimals), 10**decimals)
