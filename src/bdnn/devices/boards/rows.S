/* Rows and answers in flash. */
#if defined(__AVR__)
    .section .progmem.data, "a"
#else
    .section .rodata, "a"
#endif
    .global bdnn_rows, bdnn_expected
bdnn_rows:
    .incbin "bdnn_rows.bin"
bdnn_expected:
    .incbin "bdnn_expected.bin"
