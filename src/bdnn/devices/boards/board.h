/* Clocks, stacks and output of emulated boards. */
#include <stdint.h>

#define INLINE inline __attribute__((always_inline))

#if defined(__AVR__) /* ATmega328P: timer 1 counts cycles, or every 1024th of them */

#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/sleep.h>

typedef uint16_t board_ticks;
extern uint8_t __heap_start;

#define board_byte(p) pgm_read_byte(p)
#define board_bottom(top) (&__heap_start)

static INLINE void board_start(void)
{
    UCSR0B = 1u << TXEN0;
    TCCR1A = 0u;
}

static INLINE uint8_t *board_stack(void)
{
    return (uint8_t *)SP + 1; /* the stack pointer is at the first byte that is free */
}

static INLINE void board_clock(uint8_t coarse)
{
    TCCR1B = coarse ? 5u : 1u;
}

static INLINE board_ticks board_now(void)
{
    return TCNT1;
}

static INLINE uint32_t board_units(board_ticks nothing, board_ticks fine, board_ticks coarse)
{
    const uint16_t rest = (uint16_t)(fine - nothing); /* modulo 2^16; the coarse clock tells the rest to 1024 */
    return ((((uint32_t)coarse << 10) - rest + 0x8000u) & 0xFFFF0000u) + rest;
}

static void board_put(char c)
{
    while ((UCSR0A & (1u << UDRE0)) == 0u) {
    }
    UDR0 = (uint8_t)c;
}

static INLINE void board_stop(void)
{
    cli(); /* an emulator stops where nothing can wake the processor */
    sleep_enable();
    for (;;) {
        sleep_cpu();
    }
}

#else

#define PAINTED 0x40000u /* bytes of stack that are looked at */

typedef uint32_t board_ticks;

#define board_byte(p) (*(p))
#define board_bottom(top) ((top) - PAINTED)
#define board_clock(coarse) ((void)(coarse))
#if defined(__arm__)
#define MOVE "mov"
#else
#define MOVE "mv"
#endif

static INLINE uint8_t *board_stack(void)
{
    uint8_t *top;
    __asm__ volatile(MOVE " %0, sp" : "=r"(top));
    return top;
}

#if defined(__arm__) /* MPS2: a timer of 25 MHz, while every instruction takes 128 ns */

#define TIMER ((volatile uint32_t *)0x40000000u)

static INLINE void board_start(void)
{
    TIMER[1] = TIMER[2] = 0xFFFFFFFFu;
    TIMER[0] = 1u;
}

static INLINE board_ticks board_now(void)
{
    return 0u - TIMER[1];
}

static INLINE uint32_t board_units(board_ticks nothing, board_ticks fine, board_ticks coarse)
{
    (void)coarse; /* 40 / 128 instructions for each tick; an end of a measurement is off by less than one tick */
    return (fine * 5u + 8u) / 16u - (nothing * 5u + 8u) / 16u;
}

static uint32_t board_host(uint32_t operation, const void *what)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = what;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void board_put(char c)
{
    (void)board_host(3u, &c); /* SYS_WRITEC */
}

static INLINE void board_stop(void)
{
    (void)board_host(0x18u, (const void *)0x20026u); /* SYS_EXIT, the program ended */
    for (;;) {
    }
}

#else /* RISC-V, QEMU's virt: the counter of instructions, a UART and a device that ends the emulation */

static INLINE void board_start(void)
{
}

static INLINE board_ticks board_now(void)
{
    uint32_t count;
    __asm__ volatile(".option push\n.option arch, +zicsr\ncsrr %0, minstret\n.option pop" : "=r"(count) : : "memory");
    return count;
}

static INLINE uint32_t board_units(board_ticks nothing, board_ticks fine, board_ticks coarse)
{
    (void)coarse;
    return fine - nothing;
}

static void board_put(char c)
{
    *(volatile uint8_t *)0x10000000u = (uint8_t)c;
}

static INLINE void board_stop(void)
{
    for (;;) {
        *(volatile uint32_t *)0x100000u = 0x5555u;
    }
}

#endif
#endif

static void board_text(const char *text)
{
    while (*text != 0) {
        board_put(*text++);
    }
}

static void board_number(uint32_t number)
{
    uint8_t digit;
    for (digit = 0u; digit < 8u; digit++) {
        const uint8_t value = (uint8_t)(number >> 28);
        board_put((char)(value < 10u ? '0' + value : 'a' + value - 10u));
        number <<= 4;
    }
    board_put(' ');
}
