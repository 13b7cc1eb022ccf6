"""Reading tables from files: columns as they are, labels, and what had to be assumed.

DuckDB reads the files; `bdnn.tables.scan` holds the queries. The form of a file is recognized from its first bytes
(`bdnn.tables.source`) and lines (`bdnn.tables.layout`), and the kinds of its columns from all of their cells
(`bdnn.tables.kinds`). Labels are read by `bdnn.labels`: as the classes of a model where one is known.

`MISSING` and, in columns of numbers, `MISSING_NUMBERS` say what is a missing value. In models with no encoder, it is
replaced by the lower median of its column (the middle of the sorted known values, the lower of two), so that integer
columns stay integer; the replacements come from the training rows and are stored with the model.
"""

from bdnn.tables.cells import Known
from bdnn.tables.options import KINDS, MISSING, MISSING_NUMBERS, Reading, kinds_from_file
from bdnn.tables.reading import GUESS, read_table
from bdnn.tables.source import STANDARD_INPUT
from bdnn.tables.table import MISSING_RULES, Table, filled, medians

__all__ = [
    "GUESS",
    "KINDS",
    "MISSING",
    "MISSING_NUMBERS",
    "MISSING_RULES",
    "STANDARD_INPUT",
    "Known",
    "Reading",
    "Table",
    "filled",
    "kinds_from_file",
    "medians",
    "read_table",
]
