/* The classifier, or a stub in its place that reads the row, as one function that is never inlined.
   BDNN_HEADER, BDNN_ELEMENT, BDNN_PLACES and BDNN_PREDICT are defined in bdnn_code.h. */
#include "bdnn_code.h"

#include <stdint.h>

/* Only its type is looked at: that of what the expression returns. */
extern BDNN_ELEMENT x[BDNN_PLACES];
typedef __typeof__(BDNN_PREDICT) bdnn_answer;

/* The compiler must not know what becomes of the row: it would move the call beyond the readings of a clock. */
#define BDNN_OPAQUE(x) __asm__ volatile("" : "+r"(x) : : "memory")

#ifdef BDNN_STUB
static __attribute__((noinline, noclone)) bdnn_answer bdnn_stub(BDNN_ELEMENT *x)
{
    BDNN_OPAQUE(x);
    return (bdnn_answer) * (const volatile uint8_t *)x;
}
#else
static __attribute__((noinline, noclone)) bdnn_answer bdnn_decide(BDNN_ELEMENT *x)
{
    BDNN_OPAQUE(x);
    return BDNN_PREDICT;
}
#endif
