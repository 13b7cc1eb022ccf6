/* A program that decides one row; its size, less that with the stub, is that of the classifier. */
#include "decide.h"

BDNN_ELEMENT bdnn_row[BDNN_PLACES];
volatile bdnn_answer bdnn_result;

int main(void)
{
#ifdef BDNN_STUB
    bdnn_result = bdnn_stub(bdnn_row);
#else
    bdnn_result = bdnn_decide(bdnn_row);
#endif
    for (;;) {
    }
}
