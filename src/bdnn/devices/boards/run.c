/* A program that decides rows, compares the answers, paints the stack, and takes the time of each decision.
   It prints: bdnn WRONG FIRST SUM_HIGH SUM_LOW MOST STACK end, in hexadecimal. The highest bit of STACK says that no
   paint is left: whatever lies below may be overwritten, and no more rows are decided. */
#include "board.h"
#include "decide.h"

extern const uint8_t bdnn_rows[], bdnn_expected[];

static BDNN_ELEMENT row[BDNN_PLACES];

/* The compiler does not know it: the program has the same length for all numbers of rows. */
static const volatile uint32_t rows = BDNN_ROWS;

/* Computed anew each time: a register that holds it may be saved on the stack, and would look like paint there, and a
   variable may be overwritten. */
static INLINE uint8_t paint(uint8_t pass)
{
    __asm__ volatile("" : "+r"(pass));
    return pass == 0u ? 0xA5u : 0x5Au;
}

/* Does nothing: what its call takes is not part of a decision. */
static __attribute__((noinline, noclone)) bdnn_answer nothing(BDNN_ELEMENT *x)
{
    bdnn_answer a;
    __asm__ volatile("" : "=r"(a) : "r"(x) : "memory");
    return a;
}

/* Returns the ticks of a call; the same instructions call a decision and nothing. */
static __attribute__((noinline, noclone)) board_ticks ticks(bdnn_answer (*what)(BDNN_ELEMENT *))
{
    board_ticks before = board_now(), after;
    bdnn_answer answer = what(row);
    __asm__ volatile("" : : "r"(answer) : "memory");
    after = board_now();
    return (board_ticks)(after - before);
}

static INLINE const uint8_t *fetch(void *to, const uint8_t *from, uint32_t count)
{
    volatile uint8_t *place = (volatile uint8_t *)to;
    while (count-- != 0u) {
        *place++ = board_byte(from++);
    }
    __asm__ volatile("" : : : "memory");
    return from;
}

int main(void)
{
    uint32_t wrong = 0u, first = 0u, high = 0u, low = 0u, most = 0u, stack = 0u, full = 0u, number;
    const uint8_t *from;
    uint8_t pass, clock;
    board_start();
    for (pass = 0u; pass < 2u; pass++) { /* a byte that is left as the first pattern is not left as the second one */
        const uint8_t *right = bdnn_expected;
        uint8_t *const top = board_stack();
        volatile uint8_t *place;
        for (place = board_bottom(top); place < top; place++) {
            *place = paint(pass);
        }
        from = bdnn_rows;
        for (number = 0u; number < rows && full == 0u; number++) {
            BDNN_EXPECTED expected;
            from = fetch(row, from, sizeof row);
            right = fetch(&expected, right, sizeof expected);
            if (bdnn_decide(row) != expected && pass == 0u) {
                first = wrong == 0u ? number : first;
                wrong++;
            }
            full = *(volatile uint8_t *)board_bottom(top) == paint(pass) ? 0u : 0x80000000u;
        }
        for (place = board_bottom(top); place < top && *place == paint(pass); place++) {
        }
        stack = (uint32_t)(top - place) > stack ? (uint32_t)(top - place) : stack;
    }
    from = bdnn_rows;
    for (number = 0u; number < rows && full == 0u; number++) {
        board_ticks taken[3];
        uint32_t units;
        for (clock = 0u; clock < 3u; clock++) { /* nothing and a decision by a fine clock, a decision by a coarse one */
            (void)fetch(row, from, sizeof row);
            board_clock(clock == 2u);
            taken[clock] = ticks(clock == 0u ? nothing : bdnn_decide);
        }
        from += sizeof row;
        units = board_units(taken[0], taken[1], taken[2]);
        most = units > most ? units : most;
        low += units;
        high += low < units;
    }
    board_text("bdnn ");
    board_number(wrong);
    board_number(first);
    board_number(high);
    board_number(low);
    board_number(most);
    board_number(stack | full);
    board_text("end\n");
    board_stop();
}
