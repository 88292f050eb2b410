"""The source of patents: a file of the user's own, or PatentsView's tables at USPTO's Open Data Portal."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from textloom.config.section import Paths, Prose, Section, as_tuple

GUIDE = "https://data.uspto.gov/support/transition-guide/patentsview"

NO_FILE = (
    "path is missing: give the CSV of patent abstracts (columns patent_abstract, patent_date, patent_number, "
    "patent_title) or PatentsView's g_patent_abstract.tsv, as data.path=FILE\n"
    "The article's CSV is data/neural_network_patent_query.csv in github.com/WillKoehrsen/recurrent-neural-networks; "
    "PatentsView's tables are at data.uspto.gov (product PVGPATDIS, free with an account), and "
    "data.source=odp data.query='neural network*' selects from them."
)
RETIRED = (
    "source=patentsearch: PatentsView's search API ended on 2026-03-20, its host is gone and its keys are void; use "
    "data.source=odp, the same patents as tables at USPTO's Open Data Portal (free, with a key of its own), or "
    f"data.source=file data.path=FILE; see {GUIDE}"
)

Year = Annotated[int, Field(ge=1790, le=2999)]
CPC_CODE = re.compile(r"[A-HY](\d\d([A-Z](\d{1,4}(/\d{2,6})?)?)?)?")  # section, class, subclass, main group, group


class PatentSelection(Section):
    """The source of patents, and the selection from the portal's tables."""

    source: Literal["file", "odp", "patentsearch"] = "file"
    """A file of your own, or USPTO's Open Data Portal (fetched by scripts/prepare.py); patentsearch is retired."""
    path: Paths | None = None
    """With source=file: the file, or a glob, or a list of them."""
    query: Prose | None = None
    """With source=odp: a phrase in title or abstract, in any case; * stands for the rest of a word."""
    regex: Annotated[Prose, Field(min_length=1)] | None = None
    """With source=odp: a regular expression (RE2) in title or abstract, in any case."""
    first_year: Year | None = None
    """With source=odp: the first year of grant; null for all from 1976 on."""
    last_year: Year | None = None
    """With source=odp: the last year of grant; null for all."""
    cpc: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """With source=odp: CPC sections, classes, subclasses or groups such as G06N3; the patent must have one of them."""

    @model_validator(mode="after")
    def _source_and_selection_fit(self) -> Self:
        if self.source == "patentsearch":
            raise ValueError(RETIRED)
        if self.source == "file":
            if self.path is None:
                raise ValueError(NO_FILE)
            for key in ("query", "regex", "first_year", "last_year", "cpc"):
                if getattr(self, key):
                    raise ValueError(f"{key} selects from the portal's tables; add data.source=odp, or leave it out")
        return self

    @model_validator(mode="after")
    def _selection_is_one(self) -> Self:
        if self.source == "odp" and self.path is not None:
            raise ValueError("path names a file, and data.source=odp fetches one; leave one of them out")
        if self.query is not None and not re.search(r"\w", self.query):
            raise ValueError(f"query={self.query}: holds no word; give a phrase such as 'neural network*'")
        for code in self.cpc:
            if not CPC_CODE.fullmatch(code):
                raise ValueError(f"cpc={code}: not a CPC code; give one such as G, G06, G06N, G06N3 or G06N3/08")
        if self.query is not None and self.regex is not None:
            raise ValueError("query and data.regex both select patents by their text; leave one of them out")
        if self.first_year and self.last_year and self.first_year > self.last_year:
            raise ValueError(f"first_year={self.first_year} is after last_year={self.last_year}; exchange them")
        return self
