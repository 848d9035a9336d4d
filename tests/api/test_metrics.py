"""docs/metrics.md and the alert rules hold to what a running gateway shows."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.api.gateway import Gateway

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENT: Final = ROOT / "docs" / "metrics.md"
RULES: Final = ROOT / "docs" / "alerts" / "counterfoil.rules.yml"
_ROW = re.compile(r"^\| `(counterfoil_\w+)` \| (\w+) \|\s*([^|]*?)\s*\| ([^|]*) \|$", re.MULTILINE)
_OF_KIND: Final = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}
_COMES_WITH: Final = {"job", "instance", "le"}
"""Labels of the scrape and of histograms."""

pytestmark = pytest.mark.timeout(120)


class Metric:
    """One row of the document."""

    def __init__(self, name: str, kind: str, labels: str, meaning: str) -> None:
        self.name = name
        self.kind = kind
        self.labels = frozenset(re.findall(r"`(\w+)`", labels))
        self.meaning = meaning

    def series(self) -> list[str]:
        """Names under which Prometheus stores it."""
        endings = _OF_KIND.get(self.kind, ("",))
        return [self.name.removesuffix(ending) + ending for ending in endings]


def documented() -> dict[str, Metric]:
    found = [Metric(*row) for row in _ROW.findall(DOCUMENT.read_text(encoding="utf-8"))]
    return {metric.name: metric for metric in found}


def labels_by_series() -> dict[str, frozenset[str]]:
    return {name: metric.labels for metric in documented().values() for name in metric.series()}


@pytest.fixture(scope="module")
def shown(gateway: Gateway) -> dict[str, Any]:
    """The families of our own, after there was something to measure."""
    shop = gateway.shop()
    shop.pay()
    shop.pay("tok_timeout_before")
    gateway.settle()
    gateway.client.get("/nowhere")
    families = text_string_to_metric_families(gateway.client.get("/metrics").text)
    return {_name(family): family for family in families if family.name.startswith("counterfoil_")}


def _name(family: Any) -> str:
    return f"{family.name}_total" if family.type == "counter" else str(family.name)


def _samples(family: Any) -> Iterator[Sample]:
    yield from (sample for sample in family.samples if not sample.name.endswith("_created"))


def test_every_metric_is_documented_and_every_documented_one_exists(
    shown: Mapping[str, Any],
) -> None:
    made = {name for name in shown if not name.endswith("_created")}

    assert made == set(documented())


def test_kind_labels_and_meaning_of_each_metric_are_as_documented(
    shown: Mapping[str, Any],
) -> None:
    for name, metric in documented().items():
        family = shown[name]
        assert (family.type, family.documentation) == (metric.kind, metric.meaning), name
        for sample in _samples(family):
            assert set(sample.labels) - {"le"} == metric.labels, name


def test_no_label_takes_an_id_of_a_payment_or_a_tenant(shown: Mapping[str, Any]) -> None:
    values = {
        value
        for family in shown.values()
        for sample in family.samples
        for name, value in sample.labels.items()
        if name != "account"  # provider accounts are few, and made by an operator
    }

    assert [value for value in values if re.search(r"_0[0-9a-z]{20,}|[0-9a-f]{8}-", value)] == []


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


ALERTS = pytest.mark.parametrize("rule", [pytest.param(rule, id=rule["alert"]) for rule in rules()])


def selectors(expression: Any) -> Iterator[Any]:
    """Every selector of a series within an expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
        return
    for part in ("expr", "lhs", "rhs", "vector_selector", "param"):
        inner = getattr(expression, part, None)
        if inner is not None:
            yield from selectors(inner)
    for argument in getattr(expression, "args", []):
        yield from selectors(argument)


@ALERTS
def test_an_alert_asks_for_series_and_labels_that_exist(rule: dict[str, Any]) -> None:
    known = labels_by_series()

    asked = list(selectors(promql_parser.parse(rule["expr"])))

    assert asked
    for selector in asked:
        if selector.name == "up":
            continue
        assert selector.name in known, f"no series {selector.name}"
        labels = {matcher.name for matcher in selector.matchers.matchers}
        assert labels <= known[selector.name] | _COMES_WITH, selector.name
    for grouping in re.findall(r"\bby \(([^)]*)\)", rule["expr"]):
        named = {label.strip() for label in grouping.split(",")}
        assert named <= frozenset().union(*known.values()) | _COMES_WITH


@ALERTS
def test_an_alert_says_how_bad_it_is_and_where_the_way_out_stands(rule: dict[str, Any]) -> None:
    runbook = rule["annotations"]["runbook_url"].partition("docs/runbooks/")[2]

    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    assert len(rule["annotations"]["summary"]) > 20
    text = (ROOT / "docs" / "runbooks" / runbook).read_text(encoding="utf-8")
    assert rule["alert"] in text, "the runbook names the alert that leads to it"
    assert "## Do" in text
    assert "```graphql" in text or "python -m counterfoil" in text or "```sh" in text


@ALERTS
def test_a_summary_uses_labels_the_alert_has(rule: dict[str, Any]) -> None:
    used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    kept = {
        label.strip()
        for grouping in re.findall(r"\bby \(([^)]*)\)", rule["expr"])
        for label in grouping.split(",")
    }

    assert used <= kept | {"job", "instance"}


def test_a_misspelt_series_would_be_found() -> None:
    wrong = {"expr": 'max(counterfoil_operations_wating{status="UNKNOWN"}) > 0'}

    with pytest.raises(AssertionError, match="no series counterfoil_operations_wating"):
        test_an_alert_asks_for_series_and_labels_that_exist(wrong)
