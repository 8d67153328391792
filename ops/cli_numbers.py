"""Which numbers may be written on a command line? What lies outside is refused as wrong usage, by the option's name."""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from application.upcoming import FARTHEST_DAYS

Days = Annotated[int, Parameter(validator=Number(gte=1, lte=FARTHEST_DAYS))]
Milliseconds = Annotated[float, Parameter(validator=Number(gte=0, lte=3_600_000))]
Share = Annotated[float, Parameter(validator=Number(gte=0, lte=1))]
Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=1_000))]
Examples = Annotated[int, Parameter(validator=Number(gte=0, lte=1_000))]
Sample = Annotated[int | None, Parameter(validator=Number(gte=1, lte=100_000_000))]
Processes = Annotated[int | None, Parameter(validator=Number(gte=1, lte=256))]
