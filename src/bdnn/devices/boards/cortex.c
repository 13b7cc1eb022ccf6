/* What comes before main on a Cortex-M; no function of a library is called, so that none comes for free. */
#include <stdint.h>

extern uint32_t board_stack_top, board_data_from, board_data, board_data_end, board_bss, board_bss_end;
extern void (*board_constructors[])(void), (*board_constructors_end[])(void);
int main(void);

static void fault(void)
{
    register uint32_t r0 __asm__("r0") = 0x18u;
    register uint32_t r1 __asm__("r1") = 0x20023u; /* SYS_EXIT, a run-time error */
    __asm__ volatile("bkpt 0xAB" : : "r"(r0), "r"(r1) : "memory");
    for (;;) {
    }
}

static void reset(void)
{
    const uint32_t *from = &board_data_from;
    volatile uint32_t *to;
    void (**constructor)(void);
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88u |= 0xF00000u; /* CPACR: the floating-point unit is on */
#endif
    for (to = &board_data; to < &board_data_end; to++) {
        *to = *from++;
    }
    for (to = &board_bss; to < &board_bss_end; to++) {
        *to = 0u;
    }
    for (constructor = board_constructors; constructor < board_constructors_end; constructor++) {
        (*constructor)();
    }
    (void)main();
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &board_stack_top, reset, fault, fault, fault, fault, fault, fault,
    fault, fault, fault, fault, fault, fault, fault, fault,
};
