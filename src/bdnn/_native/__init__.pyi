"""The compiled core; its sources are in ``native``, the types of its functions in the stubs beside this file."""

from . import boosting as boosting
from . import certify as certify
from . import margins as margins
from . import search as search
from . import tree as tree
from . import walk as walk
