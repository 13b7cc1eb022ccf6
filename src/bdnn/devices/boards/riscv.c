/* What comes before main on RISC-V; no function of a library is called, so that none comes for free. */
#include <stdint.h>

extern uint32_t board_data_from, board_data, board_data_end, board_bss, board_bss_end;
extern void (*board_constructors[])(void), (*board_constructors_end[])(void);
int main(void);

__attribute__((used)) static void board_enter(void)
{
    const uint32_t *from = &board_data_from;
    volatile uint32_t *to;
    void (**constructor)(void);
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

__attribute__((used, naked, aligned(4))) static void board_fault(void)
{
    __asm__ volatile("li t0, 0x100000\nli t1, 0x3333\nsw t1, 0(t0)\n1: j 1b"); /* the emulation fails */
}

__attribute__((section(".vectors"), used, naked)) static void board_first(void)
{
    __asm__ volatile(".option push\n.option norelax\nla gp, __global_pointer$\n.option pop\n"
                     ".option push\n.option arch, +zicsr\nla t0, board_fault\ncsrw mtvec, t0\n.option pop\n"
                     "la sp, board_stack_top\nj board_enter");
}
