"""How fast textloom is, each figure beside what it is measured against: ``make bench``."""
