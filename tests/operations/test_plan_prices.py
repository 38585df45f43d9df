"""Plans by the year, with included units, minimum fees and versions, as an agent and the platform see them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from billing_mcp.app import App
from billing_mcp.catalog.loader import default_text
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.invoices import Invoice
from billing_mcp.domain.plan_terms import PlanId
from billing_mcp.operations.plan_migration import Migrated, PlanMigrations
from billing_mcp.settings import Settings
from tests.conftest import NOW, Clock
from tests.operations.platform import Platform
from tests.operations.test_explain_forged import dearer, dearer_price, forge_line, more
from tests.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAILBOX: PlanId = "smtp_per_mailbox"
PROXY: PlanId = "smtp_per_proxy"
LATER = """
[[plans.smtp_per_mailbox.versions]]
version = "2026"
valid_from = 2026-04-01
price = "35.00"
yearly_price = "350.00"
components = [{ component_type = "mailbox", unit_price = "0.40", included = 20 }]
"""
TERMS = (
    ('yearly_price = "290.00"\n', 'yearly_price = "290.00"\nminimum = "31.00"\nversion = "2025"\n'),
    ('unit_price = "0.35"\n', f'unit_price = "0.35"\nincluded = 10\n{LATER}'),
)
"""Until April the mailbox plan is 29.00, at least 31.00, with 10 of the mailboxes; from then on 35.00, with 20."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _priced(lasting_database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    text = default_text()
    for of_package, own in TERMS:
        assert text.count(of_package) == 1
        text = text.replace(of_package, own)
    file = tmp_path_factory.mktemp("prices") / "catalog.toml"
    file.write_text(text, "utf-8")
    clock = Clock()
    async with App.open(Settings(database=lasting_database, catalog=file, workers=2), clock=clock) as app:
        yield World(app, clock)


@pytest.fixture
def world(_priced: World) -> World:
    """One for all of these tests, with prices of its own: each is about accounts of its own."""
    _priced.clock.now = NOW
    return _priced


def change(of: Platform, plan_id: str, **options: str) -> str:
    more = "".join(f", {name}={value!r}" for name, value in options.items())
    return f"billing.plan.change(account_id={of.account_id!r}, plan_id={plan_id!r}{more})"


def on(of: Platform, text: str) -> None:
    of.world.clock.now = datetime.fromisoformat(f"{text}T10:00:00+00:00")


async def taken(of: Platform, script: str) -> Decimal:
    """What a preview of a script takes from the wallet."""
    answer = await of.world.run(script, preview=True)
    assert answer.error is None, answer.error
    assert answer.effects is not None
    return -sum((Decimal(each.available) for each in answer.effects.wallets), Decimal())


async def offers(of: Platform) -> dict[str, dict[str, Any]]:
    """By plan and billing period, what billing.plans.list says of it."""
    items = (await of.ask("plans.list"))["items"]
    by_month = {f"{item['plan_id']} monthly": item for item in items}
    return by_month | {f"{item['plan_id']} yearly": item["yearly"] for item in items}


async def last_lines(of: Platform) -> list[dict[str, Any]]:
    page = await of.ask("transactions.list", page_size=1)
    lines: list[dict[str, Any]] = page["items"][0]["line_items"]
    return lines


async def test_a_plan_by_the_year_tells_its_price_and_accrues_by_the_day(world: World) -> None:
    of = await Platform.of(world)
    await world.must(change(of, PROXY, billing_period="yearly"))

    told = await of.ask("current_plan.get")
    assert (told["billing_period"], told["price"], told["price_version"]) == ("yearly", "990.00", "1")
    on(of, "2026-03-22")
    assert (await of.ask("wallet_balance.get"))["accrued_charges"] == "27.123288"  # 990.00 x 10/365
    canceled = await world.must(f"billing.plan.cancel(account_id={of.account_id!r})")
    assert canceled["effective_at"] == "2027-03-12T00:00:00Z"


async def test_the_effects_tell_the_period_and_the_version_that_a_change_leads_to(world: World) -> None:
    of = await Platform.of(world, plan=MAILBOX)

    yearly = await world.run(change(of, MAILBOX, billing_period="yearly"), preview=True)
    pending = await world.run(change(of, MAILBOX, effective_date="2026-04-02"), preview=True)

    assert yearly.effects is not None
    assert [(s.setting, s.before, s.after) for s in yearly.effects.settings] == [
        ("plan", MAILBOX, f"{MAILBOX} yearly"),
    ]
    assert pending.effects is not None
    assert [(s.setting, s.before, s.after) for s in pending.effects.settings] == [
        ("pending", None, f"{MAILBOX} from 2026-04-02"),
    ]
    on(of, "2026-04-02")
    newer = await world.run(change(of, MAILBOX), preview=True)
    assert newer.effects is not None
    assert [(s.setting, s.before, s.after) for s in newer.effects.settings] == [("price_version", "2025", "2026")]


async def test_included_units_and_a_minimum_fee_are_lines_that_say_so(world: World) -> None:
    of = await Platform.of(world, plan=MAILBOX, mailbox=12)
    on(of, "2026-03-22")
    assert (await of.ask("wallet_balance.get"))["accrued_charges"] == "10.00"  # 31.00 x 10/31

    await world.must(change(of, PROXY))

    base, mailboxes, missing = await last_lines(of)
    assert base["metadata"]["version"] == "2025"
    assert (mailboxes["quantity"], mailboxes["metadata"]["counted"], mailboxes["metadata"]["included"]) == (
        "2",
        "12",
        "10",
    )
    assert (missing["component_type"], missing["description"]) == (
        "minimum",
        "SMTP per mailbox, up to the minimum fee, 10 of 31 days",
    )
    (charge,) = await of.explained_as("plan")
    assert (charge["amount"], charge["matches"]) == ("10.00", True)
    assert charge["lines"][1]["why"].startswith("12 counted, 10 included: 2 mailbox x 0.35 a month, 10 of the 31 days")
    assert charge["lines"][2]["why"].startswith("at least 31.00 a month, 10 of the 31 days from 2026-03-12 = 10.00, ")


@pytest.mark.parametrize("period", ["monthly", "yearly"])
async def test_what_plans_list_says_a_change_now_would_charge_is_what_a_preview_of_it_does(
    world: World, period: str
) -> None:
    of = await Platform.of(world, plan=PROXY, mailbox=25, proxy=2)
    if period == "yearly":
        await world.must(change(of, PROXY, billing_period="yearly"))
    on(of, "2026-04-05")

    for name, offer in (await offers(of)).items():
        plan_id, billing_period = name.split()
        told = offer["change_now"]
        if name == f"{PROXY} {period}":
            assert told == {"due": "0.00", "shortfall": "0.00", "possible": False}
            assert offer["change_at_period_end"] is None
            continue
        assert (told["shortfall"], told["possible"]) == ("0.00", True)
        assert Decimal(told["due"]) == await taken(of, change(of, plan_id, billing_period=billing_period))
    offered = await offers(of)
    both = [Decimal(offered[f"{MAILBOX} {each}"]["change_now"]["due"]) for each in ("monthly", "yearly")]
    # By the month 99.00 x 24/31, by the year 990.00 x 24/365: what is paid by the month next gives the discount back.
    assert both[0] - both[1] == (Decimal("11.549271") if period == "yearly" else 0)


async def test_a_change_that_the_wallet_cannot_pay_says_what_is_missing(world: World) -> None:
    of = await Platform.of(world, plan=PROXY, funds="10.00")
    on(of, "2026-03-22")

    told = (await offers(of))[f"{MAILBOX} monthly"]["change_now"]

    assert told == {"due": "31.935484", "shortfall": "21.935484", "possible": False}
    answer = await world.run(change(of, MAILBOX))
    assert answer.error is not None
    assert answer.error.amounts == {"free": "10.00", "reserved": "0.00", "shortfall": "21.935484"}


@pytest.mark.parametrize("target", [MAILBOX, PROXY])
async def test_what_a_change_at_the_end_of_the_period_would_charge_is_what_has_accrued_on_that_day(
    world: World, target: str
) -> None:
    of = await Platform.of(world, plan=MAILBOX, mailbox=12)
    on(of, "2026-03-20")
    told = (await offers(of))[f"{target} yearly"]["change_at_period_end"]
    assert told["on"] == "2026-04-12"

    await world.must(change(of, target, billing_period="yearly", effective_date=told["on"]))

    on(of, told["on"])
    assert (await of.ask("wallet_balance.get"))["accrued_charges"] == told["due"] == "31.00"
    now = await of.ask("current_plan.get")
    assert (now["plan_id"], now["billing_period"]) == (target, "yearly")
    assert now["price_version"] == ("2026" if target == MAILBOX else "1")


async def test_a_projected_month_is_the_plan_at_today_s_counts_and_messages_at_the_tiers_of_the_plan(
    world: World,
) -> None:
    of = await Platform.of(world, plan=MAILBOX, mailbox=30)
    on(of, "2026-02-09")  # too long ago to count
    await of.delivered(await of.emails(50))
    on(of, "2026-02-20")
    await of.delivered(await of.emails(100))
    on(of, "2026-03-12")
    await of.delivered(await of.sms(2))
    await of.delivered(await of.chat())

    found = await offers(of)

    messages = {
        MAILBOX: "0.31",  # 100 x 0.0009 + 2 x 0.075 + 0.06 + 0.01
        PROXY: "0.295",  # 100 x 0.00075, since it grants growth on email
    }
    for plan_id, plan, by_year in ((MAILBOX, "36.00", "31.166667"), (PROXY, "99.00", "82.50")):
        month, year = (found[f"{plan_id} {each}"]["projected_month"] for each in ("monthly", "yearly"))
        assert (month["plan"], month["messages"], year["plan"]) == (plan, messages[plan_id], by_year)
        assert Decimal(month["total"]) == Decimal(plan) + Decimal(messages[plan_id])
    assert found[f"{MAILBOX} monthly"]["monthly_total"] == "36.00"


async def test_an_account_keeps_its_prices_until_it_chooses_newer_ones(world: World) -> None:
    of = await Platform.of(world, plan=MAILBOX, mailbox=30)
    on(of, "2026-04-12")
    kept, offered = await of.ask("current_plan.get"), await offers(of)
    assert (kept["price"], kept["price_version"]) == ("29.00", "2025")
    item = offered[f"{MAILBOX} monthly"]
    assert (item["price"], item["version"], item["current"], item["monthly_total"]) == ("35.00", "2026", True, "39.00")
    assert item["change_now"]["possible"]

    assert (await world.must(change(of, MAILBOX)))["status"] == "completed"

    newer = await of.ask("current_plan.get")
    assert (newer["price"], newer["price_version"]) == ("35.00", "2026")
    again = await world.run(change(of, MAILBOX))
    assert again.error is not None
    assert again.error.code == "plan_unchanged"
    assert (await of.explained_as("plan"))[0]["matches"]


async def test_the_platform_moves_all_accounts_on_a_plan_and_tells_them(world: World) -> None:
    stays, leaves, other = [await Platform.of(world, plan=plan) for plan in (MAILBOX, MAILBOX, PROXY)]
    await world.must(change(leaves, PROXY, effective_date="2026-04-01"))
    migrations = PlanMigrations(world.app.store, world.app.catalog, world.clock)
    told: list[tuple[int, int]] = []

    async def run(**options: Any) -> dict[str, Migrated]:
        moved = await migrations.run(MAILBOX, "2026", progress=lambda *each: told.append(each), **options)
        return {each.account_id: each for each in moved}

    dry = await run(dry_run=True)
    assert (await world.snapshot(stays.account_id))["subscription"].phases[1:] == ()
    found = await run()

    assert (dry[stays.account_id], dry[leaves.account_id]) == (found[stays.account_id], found[leaves.account_id])
    moved = found[stays.account_id]
    assert (moved.status, moved.on.isoformat(), moved.previous_version) == ("migrated", "2026-04-12", "2025")
    assert found[leaves.account_id].status == "leaves"
    assert other.account_id not in found
    assert told[-1] == (len(found), len(found))
    assert (await run())[stays.account_id].status == "already"
    events = [each for each in (await world.snapshot(stays.account_id))["events"] if "repriced" in str(each)]
    assert len(events) == 1
    assert (await stays.ask("current_plan.get"))["price"] == "29.00"
    on(stays, "2026-04-12")
    now = await stays.ask("current_plan.get")
    assert (now["price"], now["price_version"], now["status"]) == ("35.00", "2026", "active")
    on(stays, "2026-05-12")
    assert (await stays.ask("wallet_balance.get"))["accrued_charges"] == "66.00"  # 31.00, and 35.00


async def test_a_version_that_is_not_there_and_a_day_that_has_passed_are_refused(world: World) -> None:
    migrations = PlanMigrations(world.app.store, world.app.catalog, world.clock)
    with pytest.raises(InvalidArgument, match="has no version '1999'"):
        await migrations.run(MAILBOX, "1999")
    with pytest.raises(InvalidArgument) as refused:
        await migrations.run(MAILBOX, "2026", on=NOW.date().replace(day=11))
    assert refused.value.code == "effective_date_in_past"


def other_price(lines: list[dict[str, Any]]) -> None:
    """The price alone grows."""
    lines[0]["unit_price_micros"] += 10_000


Forge = Callable[[list[dict[str, Any]]], None]


@pytest.mark.parametrize("forge", [dearer, dearer_price, more, other_price])
async def test_whatever_is_forged_of_a_plan_s_lines_is_contradicted(
    world: World, lasting_database: str, forge: Forge
) -> None:
    """Lines by the month and by the year, of units above those included, of a minimum fee and of a discount."""
    of = await Platform.of(world, plan=MAILBOX, mailbox=12)
    on(of, "2026-03-14")
    await world.must(change(of, MAILBOX, billing_period="yearly"))
    on(of, "2026-03-24")
    await world.must(f"billing.plan.cancel(account_id={of.account_id!r}, cancel_immediately=True)")
    by_month, by_year = await of.explained_as("plan")
    assert [[line["description"].split(",")[0] for line in each["lines"]] for each in (by_month, by_year)] == [
        ["SMTP per mailbox", "Mailboxes above 10 included", "SMTP per mailbox"],
        [
            "SMTP per mailbox",
            "Mailboxes above 10 included",
            "SMTP per mailbox",
            "SMTP per mailbox: yearly discount taken back for 10 days from 2026-03-14",
        ],
    ]
    assert (by_month["matches"], by_year["matches"]) == (True, True)

    for sound in (by_month, by_year):
        for place in range(len(sound["lines"])):

            def turn(lines: list[dict[str, Any]], place: int = place) -> None:
                """The line at this place, which is forged and then forged back."""
                kept = lines[place:], lines[:place]
                forge(kept[0])
                lines[:] = [*kept[1], *kept[0]]

            await forge_line(lasting_database, sound, turn, whole=True)
            found = await of.ask("charges.explain", transaction_id=sound["transaction_id"])
            line = found["lines"][place]
            assert (found["matches"], line["recomputed"]) == (False, sound["lines"][place]["amount"]), line
            await forge_line(lasting_database, sound, _restored(sound, place), whole=True)
    assert [each["matches"] for each in await of.explained_as("plan")] == [True, True]


def _restored(sound: dict[str, Any], place: int) -> Forge:
    was = sound["lines"][place]

    def restore(lines: list[dict[str, Any]]) -> None:
        lines[place] |= {
            "amount_micros": int(Decimal(was["amount"]) * 1_000_000),
            "unit_price_micros": int(Decimal(was["unit_price"]) * 1_000_000),
            "quantity": was["quantity"],
        }

    return restore


async def closed(of: Platform, text: str) -> list[Invoice]:
    """The invoices, oldest first, once every month that has ended by a day is closed."""
    on(of, text)
    await of.world.close_period(of.account_id)
    issued, _ = (await of.world.snapshot(of.account_id))["invoices"]
    return list(reversed(issued))


async def test_a_year_is_twelve_invoices_that_come_to_its_price_but_for_the_cents_of_each(world: World) -> None:
    of = await Platform.of(world)
    await world.must(change(of, PROXY, billing_period="yearly"))

    invoices = await closed(of, "2027-03-12")

    lines = [line for each in invoices for line in each.lines]
    assert (len(invoices), sum(line.amount_micros for line in lines)) == (12, 990_000_000)
    assert abs(sum(each.amount_micros for each in invoices) - 990_000_000) <= 12 * 5_000
    assert [each["matches"] for each in await of.explained_as("plan")] == [True] * 12
    assert (await world.audit()).findings == ()


async def test_a_pending_departure_from_a_year_is_on_the_invoice_of_the_month_that_it_ends(world: World) -> None:
    of = await Platform.of(world)
    await world.must(change(of, PROXY, billing_period="yearly"))
    await world.must(change(of, PROXY, billing_period="monthly", effective_date="2026-05-02"))

    first, second = await closed(of, "2026-05-12")

    assert [(line.unit, line.amount_micros) for line in first.lines] == [("year", 84_082_192)]  # 990.00 x 31/365
    assert [(line.unit, line.period_start, line.amount_micros) for line in second.lines] == [
        ("year", "2026-04-12", 54_246_575),  # 990.00 x 51/365 - 84.082192
        ("month", "2026-05-02", 33_000_000),  # 99.00 x 10/30
        ("unit", "2026-05-02", 26_671_233),  # 99.00 + 99.00 x 20/30 - 138.328767
    ]
    assert [each["matches"] for each in await of.explained_as("plan")] == [True, True]


async def test_a_month_below_the_minimum_fee_is_an_invoice_of_the_fee(world: World) -> None:
    of = await Platform.of(world, plan=MAILBOX, mailbox=12)

    (invoice,) = await closed(of, "2026-04-12")

    assert [(line.component_type, line.amount_micros) for line in invoice.lines] == [
        ("base", 29_000_000),
        ("mailbox", 700_000),
        ("minimum", 1_300_000),
    ]
    assert invoice.amount_micros == 31_000_000


async def test_while_a_month_that_has_ended_is_not_closed_the_quote_is_of_it_too(world: World) -> None:
    of = await Platform.of(world, plan=PROXY, proxy=1)
    on(of, "2026-04-22")

    told = (await offers(of))[f"{MAILBOX} monthly"]["change_now"]

    assert told["due"] == "156.00"  # 117.00, and 117.00 x 10/30
    assert await taken(of, change(of, MAILBOX)) == Decimal("156.00")
