"""A wrong catalog: every problem is told by its line and field, with what stands there, and none twice."""

from __future__ import annotations

import pytest

from billing_mcp.catalog.loader import examine, parse_catalog
from billing_mcp.catalog.problems import Problem
from billing_mcp.domain.errors import InvalidArgument
from billing_mcp.domain.markets import COUNTRIES
from tests.catalog.texts import CATALOG, line_of, spoilt

ONE_BAND = 'mau = {"*" = [{up_to = 10, price = "0.1"}, {up_to = 20, price = "0.05"}, {price = "0"}]}'
PROXY = '{component_type = "proxy", unit = "proxy", name = "Proxies", unit_price = "1"}'
FEW = '    {name = "few", from_volume = 0},'
SOME = '{name = "some", from_volume = 500}'


def problems_of(*changes: tuple[str, str]) -> list[Problem]:
    examined = examine(spoilt(*changes))
    assert examined.catalog is None
    return list(examined.problems)


@pytest.mark.parametrize(
    ("right", "wrong", "field", "says", "hint"),
    [
        # Keys
        (
            "missed_months = 3",
            "missed_month = 3",
            "tiers.missed_month",
            "is not known here; got 3",
            "Did you mean missed_months?",
        ),
        (
            "[prices.sms.mau]",
            "[prices.sms.segments]",
            "prices.2.sms.segments",
            "is not known here",
            "Did you mean segment?",
        ),
        (
            'rule = "us"',
            'rule = "us"\nregulation = 1',
            "prices.0.regions.america.regulation",
            "is not known here; got 1",
            "Known here: rule, markets, basic_max_bytes, segment_bytes or rich_suggestions.",
        ),
        (
            'basic = {"*" = ["0.05"]}',
            'baisc = {"*" = ["0.05"]}',
            "prices.0.rcs.baisc",
            "is not known",
            "Did you mean basic?",
        ),
        (
            'basic = {"*" = ["0.001"',
            'basics = {"*" = ["0.001"',
            "prices.0.email.basics",
            "is not known",
            "Did you mean basic?",
        ),
        (
            "{up_to = 20, price",
            "{upto = 20, price",
            "prices.0.email.mau.*.1.upto",
            "is not known here; got 20",
            "Did you mean up_to?",
        ),
        (
            'tiers = {email = "more"}',
            'tiers = {mail = "more"}',
            "plans.smtp_per_proxy.tiers.mail",
            "is not known",
            "Did you mean email?",
        ),
        # Kinds of values
        (
            '["0.08", "0.07", "0.06"]',
            '["0.08", 0.0750, "0.06"]',
            "prices.0.sms.segment.DE.1",
            "a price is written as text; got 0.0750",
            'Write it in quotes: "0.0750".',
        ),
        (
            '["0.08", "0.07", "0.06"]',
            '["0.08", 1, "0.06"]',
            "prices.0.sms.segment.DE.1",
            "a price is written as text; got 1",
            'Write it in quotes: "1".',
        ),
        (
            '["0.08", "0.07", "0.06"]',
            '["0.08", true, "0.06"]',
            "prices.0.sms.segment.DE.1",
            "must be text; got true",
            "",
        ),
        ('["0.08", "0.07", "0.06"]', '"0.08"', "prices.0.sms.segment.DE", 'must be a list; got "0.08"', ""),
        (
            "[prices.sms.mau]\nGB",
            "[prices.sms]\nmau",
            "prices.2.sms.mau",
            'must be a table; got [{"price": "0.000001"}]',
            "",
        ),
        (
            "valid_from = 2024-02-29",
            'valid_from = "2024-02-29"',
            "prices.1.valid_from",
            'must be a date, such as 2026-01-01; got "2024-02-29"',
            "",
        ),
        ("valid_from = 2024-02-29", "valid_from = 2024-02-29T00:00:00Z", "prices.1.valid_from", "must be a date", ""),
        ("missed_months = 3", "missed_months = 2.5", "tiers.missed_months", "must be a whole number; got 2.5", ""),
        ("missed_months = 3", "missed_months = true", "tiers.missed_months", "must be a whole number; got true", ""),
        ("missed_months = 3", "missed_months = 0", "tiers.missed_months", "must be at least 1; got 0", ""),
        (
            "from_volume = 5_000",
            "from_volume = 1_000_000_000_001",
            "tiers.sms.2.from_volume",
            "must be at most 1000000000000; got 1000000000001",
            "",
        ),
        (
            'rule = "us"',
            'rule = "american"',
            "prices.0.regions.america.rule",
            "must be 'standard' or 'us'; got \"american\"",
            "",
        ),
        ('["reply"]', '["reply", "wave"]', "prices.0.regions.america.rich_suggestions.1", "must be 'reply'", ""),
        ('version = "third"', 'version = "the third"', "prices.2.version", "letters, digits", ""),
        # Prices
        (
            '"0.08", "0.07", "0.06"',
            '"0.08", "-0.07", "0.06"',
            "prices.0.sms.segment.DE.1",
            'a price is not negative; got "-0.07"',
            "",
        ),
        (
            '"0.08", "0.07", "0.06"',
            '"0.08", "0.0700000", "0.06"',
            "prices.0.sms.segment.DE.1",
            'has more than 6 decimals; got "0.0700000"',
            "A millionth is the smallest amount there is.",
        ),
        (
            '"0.08", "0.07", "0.06"',
            '"0.08", "0,07", "0.06"',
            "prices.0.sms.segment.DE.1",
            'is not a price; got "0,07"',
            'A price is a decimal with a point, such as "0.0750".',
        ),
        (
            '"0.08", "0.07", "0.06"',
            '"0.08", "nan", "0.06"',
            "prices.0.sms.segment.DE.1",
            'is not a price; got "nan"',
            "",
        ),
        ('"0.08", "0.07", "0.06"', '"0.08", "", "0.06"', "prices.0.sms.segment.DE.1", 'is not a price; got ""', ""),
        ('{price = "0"}]}', '{price = "-0.1"}]}', "prices.0.email.mau.*.2.price", 'not negative; got "-0.1"', ""),
        (
            '"0.08", "0.07", "0.06"',
            '"0.08", "0.07"',
            "prices.0.sms.segment.DE",
            'needs 3 prices, one for each tier of sms (few, some, many); got ["0.08", "0.07"]',
            "",
        ),
        ('"0.11", "0.10", "0.09"', '"0.11", "0.10", "0.09", "0.08"', "prices.1.sms.segment.AT", "needs 3 prices", ""),
        ('{"*" = ["0.001", "0.0009"]}', '{"*" = []}', "prices.0.email.basic.*", "needs 2 prices", ""),
        ('{"*" = ["0.001", "0.0009"]}', "{}", "prices.0.email.basic", "is empty; got {}", ""),
        # Tiers
        (
            FEW,
            '    {name = "few", from_volume = 1},',
            "tiers.sms.0.from_volume",
            "the lowest tier begins at 0; got 1",
            "",
        ),
        (
            SOME,
            '{name = "some", from_volume = 0}',
            "tiers.sms.1.from_volume",
            "must be above 0, where the tier before it begins; got 0",
            "",
        ),
        ("from_volume = 5_000", "from_volume = 500", "tiers.sms.2.from_volume", "must be above 500", ""),
        (
            SOME,
            '{name = "few", from_volume = 500}',
            "tiers.sms.1.name",
            'is the name of another tier of sms; got "few"',
            "",
        ),
        (SOME, '{name = "some", from_volume = -1}', "tiers.sms.1.from_volume", "must be at least 0; got -1", ""),
        ('rcs = [{name = "flat", from_volume = 0}]', "rcs = []", "tiers.rcs", "is empty; got []", ""),
        ('rcs = [{name = "flat", from_volume = 0}]', "", "tiers.rcs", "is missing", ""),
        (
            'tiers = {email = "more"}',
            'tiers = {email = "moore"}',
            "plans.smtp_per_proxy.tiers.email",
            'is no tier of email; got "moore"',
            "Did you mean more?",
        ),
        (
            'tiers = {email = "more"}',
            'tiers = {rcs = "gold"}',
            "plans.smtp_per_proxy.tiers.rcs",
            'is no tier of rcs; got "gold"',
            "Its tiers are flat.",
        ),
        # Versions
        (
            'version = "third"',
            'version = "first"',
            "prices.2.version",
            'is the name of another version; got "first"',
            "",
        ),
        (
            "valid_from = 2025-01-01",
            "valid_from = 2024-02-29",
            "prices.2.valid_from",
            "must be after 2024-02-29, when the version before it begins; got 2024-02-29",
            "Versions stand oldest first",
        ),
        ("valid_from = 2025-01-01", "valid_from = 2024-02-01", "prices.2.valid_from", "must be after 2024-02-29", ""),
        ('version = "second"\n', "", "prices.1.version", "is missing", ""),
        # Markets and regions
        ('FR = ["0.05"', 'fr = ["0.05"', "prices.0.sms.segment.fr", "is neither the code of a country", "Write FR."),
        (
            'FR = ["0.05"',
            'UK = ["0.05"',
            "prices.0.sms.segment.UK",
            'is neither the code of a country (ISO 3166, two capital letters) nor "*"; got "UK"',
            "Such as DE",
        ),
        ('FR = ["0.05"', 'France = ["0.05"', "prices.0.sms.segment.France", "is neither the code of a country", ""),
        ('["US", "PR"]', '["US", "EU"]', "prices.0.regions.america.markets.1", "country", ""),
        (
            '["US", "PR"]',
            '["US", "US"]',
            "prices.0.regions.america.markets.1",
            'is in the region america already; got "US"',
            "",
        ),
        (
            'markets = ["*"]\nbasic_max_bytes',
            'markets = ["*", "PR"]\nbasic_max_bytes',
            "prices.0.regions.america.markets.1",
            'is in the region world already; got "PR"',
            "",
        ),
        (
            "components = []",
            f"components = [{PROXY}, {PROXY}]",
            "plans.smtp_per_proxy.components.1.component_type",
            'is priced already; got "proxy"',
            "",
        ),
        (
            'rule = "standard"\nmarkets = ["*"]\nbasic',
            'rule = "standard"\nmarkets = ["DE"]\nbasic',
            "prices.0.regions",
            'no region has the market "*"',
            "Give one of them",
        ),
        (
            "segment_bytes = 200",
            "basic_max_bytes = 200",
            "prices.0.regions.america.basic_max_bytes",
            "has no meaning under the rule us; got 200",
            "",
        ),
        (
            "segment_bytes = 200",
            "segment_bytes = 0",
            "prices.0.regions.america.segment_bytes",
            "must be at least 1",
            "",
        ),
        # Bands
        (
            ONE_BAND,
            ONE_BAND.replace('{price = "0"}', '{price = "0", up_to = 30}'),
            "prices.0.email.mau.*.2.up_to",
            "the last band has no end; got 30",
            "Add a band without up_to",
        ),
        (
            ONE_BAND,
            ONE_BAND.replace("up_to = 20", "up_to = 10"),
            "prices.0.email.mau.*.1.up_to",
            "must be above 10, where the band before it ends; got 10",
            "",
        ),
        (
            ONE_BAND,
            ONE_BAND.replace("up_to = 20, ", ""),
            "prices.0.email.mau.*.1",
            "has no up_to, and is not the last band",
            "",
        ),
        (ONE_BAND, 'mau = {"*" = []}', "prices.0.email.mau.*", "is empty; got []", ""),
        # Units that a region needs, and channels of the first version
        (
            'basic = {"*" = ["0.05"]}',
            'basic = {DE = ["0.05"]}',
            "prices.0.regions.world.markets.0",
            'has no price for basic, which the rule standard needs; got "*"',
            'Add "*" to [prices.rcs.basic]; priced are DE.',
        ),
        (
            'rich = {US = ["0.01"], PR = ["0.02"]}',
            'rich = {US = ["0.01"]}',
            "prices.0.regions.america.markets.1",
            'has no price for rich, which the rule us needs; got "PR"',
            'Add "PR" to [prices.rcs.rich]; priced are US.',
        ),
        (
            'p2a_conversation = {"*" = ["0.09"]}\n',
            "",
            "prices.0.regions.world.markets.0",
            "has no price for p2a_conversation",
            'Add "*" to [prices.rcs.p2a_conversation].',
        ),
        (
            'basic = {"*" = ["0.001", "0.0009"]}\n',
            "",
            "prices.0.email.basic",
            "is missing in the first version",
            "only what",
        ),
    ],
)
def test_a_problem_is_told_once_with_its_field_and_value(
    right: str, wrong: str, field: str, says: str, hint: str
) -> None:
    (problem,) = problems_of((right, wrong))

    assert problem.field == field
    assert problem.message.startswith(f"line {problem.line}: {field}: ")
    assert says in problem.message
    assert problem.hint.startswith(hint) or hint in problem.hint


VERSIONS = """
[[plans.smtp_per_mailbox.versions]]
version = "2"
valid_from = 2025-01-01
price = "35"

[[plans.smtp_per_mailbox.versions]]
version = "3"
valid_from = 2026-01-01
components = [{component_type = "mailbox", included = 10}]
"""


@pytest.mark.parametrize(
    ("right", "wrong", "field", "says", "hint"),
    [
        ('version = "3"', 'version = "2"', "1.version", 'is the name of another version; got "2"', ""),
        ('version = "3"', 'version = "1"', "1.version", 'is the name of another version; got "1"', ""),
        ('version = "3"', "", "1.version", "is missing", ""),
        ("2026-01-01", "2025-01-01", "1.valid_from", "must be after 2025-01-01, when the version", "Versions stand"),
        ("valid_from = 2026-01-01", "", "1.valid_from", "is missing", ""),
        ('price = "35"', 'price = "-35"', "0.price", 'a price is not negative; got "-35"', ""),
        ('price = "35"', 'yearly_prise = "35"', "0.yearly_prise", "is not known here", "Did you mean yearly_price?"),
        ('price = "35"', "", "0", "changes nothing", "Give it a price"),
        ("included = 10", "included = -1", "1.components.0.included", "must be at least 0; got -1", ""),
        ("included = 10", 'unit = "box"', "1.components.0.unit", "is not known here", ""),
        (
            '[{component_type = "mailbox", included = 10}]',
            '[{component_type = "proxy", included = 10}]',
            "1.components.0.component_type",
            'is no component of the plan; got "proxy"',
            "It has mailbox.",
        ),
        (
            "included = 10}]",
            'included = 10}, {component_type = "mailbox", unit_price = "1"}]',
            "1.components.1.component_type",
            'is changed already; got "mailbox"',
            "",
        ),
    ],
)
def test_what_is_wrong_with_a_version_of_a_plan_is_told_on_its_line(
    right: str, wrong: str, field: str, says: str, hint: str
) -> None:
    assert VERSIONS.count(right) == 1
    text = spoilt(("[plans.smtp_per_proxy]", f"{VERSIONS.replace(right, wrong)}\n[plans.smtp_per_proxy]"))
    begins = line_of(text, "[plans.smtp_per_proxy]") - len(VERSIONS.splitlines())

    (problem,) = examine(text).problems

    assert problem.field == f"plans.smtp_per_mailbox.versions.{field}"
    assert says in problem.message
    assert hint in problem.hint
    assert begins <= problem.line < line_of(text, "[plans.smtp_per_proxy]")


def test_a_problem_is_on_the_line_where_its_value_stands() -> None:
    text = spoilt(
        ('price = "29.00"', 'price = "-29.00"'), ("from_volume = 500}", "from_volume = 0}"),
        ("up_to = 20", "up_to = 5"), ('FR = ["0.05", "0.04"', 'FR = ["0.05", 0.04'),
        ("valid_from = 2024-02-29", "valid_from = 2023-01-01"), ('AT = ["0.11"', 'AX = ["x"'),
        ('[prices.sms.mau]\nGB', '[prices.sms.mau]\nGBR'),
    )  # fmt: skip

    assert [(problem.line, problem.field) for problem in examine(text).problems] == [
        (line_of(text, '"-29.00"'), "plans.smtp_per_mailbox.price"),
        (line_of(text, "from_volume = 0},\n    {name = \"many\"") , "tiers.sms.1.from_volume"),
        (line_of(text, "up_to = 5"), "prices.0.email.mau.*.1.up_to"),
        (line_of(text, "0.04,"), "prices.0.sms.segment.FR.1"),
        (line_of(text, "2023-01-01"), "prices.1.valid_from"),
        (line_of(text, '"x"'), "prices.1.sms.segment.AX.0"),
        (line_of(text, "GBR"), "prices.2.sms.mau.GBR"),
    ]  # fmt: skip


def test_all_problems_are_told_in_the_order_of_their_lines_and_the_first_is_raised() -> None:
    text = spoilt(
        ('rich = {US = ["0.01"], PR = ["0.02"]}', 'rich = {US = ["0.01", "0.02"]}'),
        ('currency = "USD"', 'currency = "usd"\nvat = "0.19"'),
        ('"0.355"', "0.355"),
        ("missed_months = 3", ""),
    )

    fields = [problem.field for problem in examine(text).problems]

    assert fields == [
        "currency",
        "vat",
        "plans.smtp_per_mailbox.components.0.unit_price",
        "tiers.missed_months",
        "prices.0.regions.america.markets.1",
        "prices.0.rcs.rich.US",
    ]
    with pytest.raises(InvalidArgument) as refused:
        parse_catalog(text)
    assert refused.value.field == "currency"
    assert refused.value.hint == "5 more: billing-mcp catalog check"


def test_what_depends_on_a_wrong_part_is_not_told_as_well() -> None:
    fields = [problem.field for problem in problems_of(("[tiers]", "[teirs]"))]
    assert fields == ["teirs"]
    fields = [problem.field for problem in problems_of(("[prices.rcs]", "[prices.rsc]"))]
    assert fields == ["prices.0.rsc"]


@pytest.mark.parametrize(
    "text",
    [
        "prices = 5\ntiers = []\nplans = 7\ncurrency = 1.5",
        'prices = [5, {regions = 7, sms = "x", rcs = {rich = [], mau = 1}, email = {mau = {DE = 4, "*" = [5]}}}]',
        'tiers = {email = [1, {name = 2}], sms = {}, rcs = [{name = "a", from_volume = "b"}]}',
        'plans = {smtp_per_proxy = 1, smtp_per_mailbox = {tiers = {email = 3, sms = "x"}, components = [0]}}',
        "prices = {a = 1}\n[tiers.email]\nx = 1",
        'prices = [{regions = {rule = {rule = "us", markets = [1, "*"], oops = 1}, markets = {markets = 3}}}]',
    ],
)
def test_whatever_stands_where_it_does_not_belong_is_a_problem_and_no_crash(text: str) -> None:
    examined = examine(text)
    assert examined.catalog is None
    assert all(problem.message for problem in examined.problems)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("currency = EUR", 1),
        ('currency = "EUR"\n\nprices = [\n', 3),
        ("a = 1\nb = 2\na = 3", 3),
        (f"a = {'[' * 5000}{']' * 5000}", 1),
        (f"a = {'9' * 5000}", 1),
        ("day = 2026-02-30", 1),
    ],
)
def test_what_is_not_toml_is_told_by_its_line(text: str, line: int) -> None:
    (problem,) = examine(text).problems
    assert problem.message.startswith(f"line {line}: the catalog is not TOML: ")


def test_a_long_value_is_cut() -> None:
    (problem,) = problems_of(('"0.08", "0.07", "0.06"', ", ".join(['"0.08"'] * 500)))
    assert len(problem.message) < 250


def test_markets_are_the_countries_that_there_are() -> None:
    assert len(COUNTRIES) == 250
    assert all(len(code) == 2 and code.isascii() and code.isupper() for code in COUNTRIES)
    assert {"DE", "AT", "CH", "GB", "GR", "US", "XK"} <= COUNTRIES
    assert not {"UK", "EL", "EU", "AA", "ZZ", "SU", "AN"} & COUNTRIES


def test_the_small_catalog_is_sound() -> None:
    assert examine(CATALOG).problems == ()
