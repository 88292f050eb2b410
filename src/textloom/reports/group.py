"""Group runs that are comparable: of one text and protocol, and of one tokenizer if the metric is per target."""

from dataclasses import dataclass
from typing import Any

from textloom.config.values import value_text
from textloom.data.encoding import load_splits
from textloom.errors import RunError
from textloom.evaluation.adaptation import adapts
from textloom.reports.collect import Record
from textloom.reports.metrics import is_per_target
from textloom.reproductions.article import LEAKY
from textloom.tokenizers import load_tokenizer


@dataclass(frozen=True)
class ScoringProtocol:
    """The text that was scored and the way it was scored; runs that differ in it are not comparable."""

    fingerprint: str
    """The fingerprint of the documents and their splits."""
    lowercase: bool
    """True if the text was lower-cased, which makes it easier to predict."""
    method: str
    """The protocol and the methods of adaptation: the part of a signature that does not depend on their settings."""
    tokenizer: tuple[tuple[str, Any], ...]
    """The tokenizer's keys if the metric is per target; else empty."""


def by_protocol(records: list[Record], metric: str) -> dict[ScoringProtocol, list[Record]]:
    """Group completed runs; n-gram models are in every group of their text whose models do not adapt to it.

    An evaluation of an n-gram model by another method is in the group of that method alone.
    """
    trained = [record for record in records if not record.is_ngram]
    case_matters = {fingerprint: _case_matters(records, fingerprint) for fingerprint in _fingerprints(records)}
    groups: dict[ScoringProtocol, list[Record]] = {}
    for record in [*trained, *(record for record in records if record.is_ngram)]:
        own = _protocol(record, metric, case_matters[record.fingerprint])
        is_baseline = record.is_ngram and not record.evaluated
        alike = [other for other in groups if is_baseline and _same_text(own, other)]
        for protocol in alike or [own]:
            groups.setdefault(protocol, []).append(record)
    return groups


def headings(groups: dict[ScoringProtocol, list[Record]]) -> dict[ScoringProtocol, str]:
    """A heading for each group: its text, and the differences from the other groups."""
    firsts = {protocol: members[0].config for protocol, members in groups.items()}
    keys = {key for config in firsts.values() for key in config if key.startswith("data.") and key != "data.kind"}
    differing = sorted(key for key in keys if len({str(config.get(key)) for config in firsts.values()}) > 1)
    titles = {}
    for protocol, config in firsts.items():
        text = [f"text {protocol.fingerprint[:12]}", f"data.kind={config.get('data.kind')}"]
        text += [f"{key}={_short(config[key])}" for key in differing if key in config]
        if config.get("data.protocol") == "article":
            text.append(LEAKY)
        if len({other.lowercase for other in groups}) > 1:
            text.append("lower-cased" if protocol.lowercase else "case kept")
        text.append(f"protocol {protocol.method}")
        text += [f"{key}={value_text(value)}" for key, value in protocol.tokenizer]
        titles[protocol] = ", ".join(text)
    return titles


def _fingerprints(records: list[Record]) -> set[str]:
    return {record.fingerprint for record in records}


def _same_text(one: ScoringProtocol, other: ScoringProtocol) -> bool:
    """True if the n-gram model of one group is a baseline of the other."""
    alike = (one.fingerprint, one.lowercase, one.tokenizer) == (other.fingerprint, other.lowercase, other.tokenizer)
    return alike and not adapts(other.method)


def _protocol(record: Record, metric: str, case_matters: bool) -> ScoringProtocol:
    return ScoringProtocol(
        record.fingerprint,
        case_matters and bool(record.config.get("tokenizer.lowercase", False)),
        record.method,
        record.tokenizer if is_per_target(metric) else (),
    )


def _case_matters(records: list[Record], fingerprint: str) -> bool:
    """True if some runs lower-case a text and others do not, and this changes the text or may change it."""
    of_text = [record for record in records if record.fingerprint == fingerprint]
    keeping = [record for record in of_text if not record.config.get("tokenizer.lowercase", False)]
    if len(keeping) in (0, len(of_text)):
        return False
    for record in keeping:
        try:
            tokenizer, splits = load_tokenizer(record.run.tokenizer_file), load_splits(record.run.tokens)
        except RunError:
            continue
        texts = (tokenizer.decode(part.tokens.tolist()) for name, part in splits.items() if name != "train")
        return any(text != text.lower() for text in texts)
    return True


def _short(value: object) -> str:
    text = value_text(value)
    return text if len(text) <= 60 else f"...{text[-57:]}"
