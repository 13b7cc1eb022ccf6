"""Self-tests in C: golden rows and their answers, decided on the device itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdnn.export.c_header import banner, value_type
from bdnn.export.c_text import flash_macros, literal, wrapped

if TYPE_CHECKING:
    from bdnn.export.request import Request


def selftest_header(request: Request) -> str:
    """Return the header of a self-test."""
    name, upper = request.name, request.name.upper()
    return f"""{banner(request, "a check on the device itself")}#ifndef {upper}_SELFTEST_H
#define {upper}_SELFTEST_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

/** Number of rows that are checked. */
#define {upper}_SELFTEST_ROWS {len(request.rows)}

/** Decides all rows; returns how many answers are wrong, 0 if all is well. */
uint16_t {name}_selftest(void);

#ifdef __cplusplus
}}
#endif

#endif
"""


def selftest_text(request: Request) -> str:
    """Return the source of a self-test."""
    name, upper, kind = request.name, request.name.upper(), value_type(request.program)
    bits, m, n = kind.lstrip("uint"), len(request.rows), max(len(request.program.inputs), 1)
    rows = [", ".join(literal(v) for v in row) or "0" for row in request.rows.tolist()]
    body = ",\n".join(wrapped(row.split(", ")) for row in rows)
    return f"""{banner(request, "rows with known answers, some of them on thresholds")}#include "{name}_selftest.h"

#include "{name}.h"

{flash_macros(upper)}
static const {kind}_t {name}_rows[{m * n}] {upper}_FLASH = {{
{body}
}};

static const uint16_t {name}_answers[{m}] {upper}_FLASH = {{
{wrapped([f"{a}u" for a in request.answers.tolist()])}
}};

uint16_t {name}_selftest(void)
{{
    {name}_value x[{upper}_INPUTS];
    uint16_t row, wrong = 0u;
    uint32_t place = 0u;
    for (row = 0u; row < {m}u; row++) {{
        uint16_t i;
        for (i = 0u; i < {upper}_INPUTS; i++) {{
            x[i] = ({kind}_t){upper}_READ{bits}(&{name}_rows[place]);
            place++;
        }}
        if ({name}_predict(x) != (uint16_t){upper}_READ16(&{name}_answers[row])) {{
            wrong++;
        }}
    }}
    return wrong;
}}
"""
