#include "certify/vector_loops.hpp"

#include <cmath>
#include <limits>

#include "clones.hpp"
#include "certify/four.hpp"

namespace bdnn::certify::loops {

namespace {

constexpr std::size_t LANES = 8;
constexpr double INFINITE = std::numeric_limits<double>::infinity();

inline double total(const double (&lane)[LANES]) {
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

// Eight accumulators as two vectors.
inline void write(const Four (&vector)[2], double (&lane)[LANES]) {
    store(lane, vector[0]);
    store(lane + 4, vector[1]);
}

}  // namespace

BDNN_CLONES
double dot(const double* __restrict a, const double* __restrict b, std::size_t n) {
    double lane[LANES] = {};
    std::size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (std::size_t l = 0; l < LANES; ++l) lane[l] += a[j + l] * b[j + l];
    for (std::size_t l = 0; j < n; ++j, ++l) lane[l] += a[j] * b[j];
    return total(lane);
}

BDNN_CLONES
double dot_masked(const double* __restrict a, const double* __restrict b, const double* __restrict c, std::size_t n) {
    double lane[LANES] = {};
    std::size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (std::size_t l = 0; l < LANES; ++l) lane[l] += a[j + l] * b[j + l] * c[j + l];
    for (std::size_t l = 0; j < n; ++j, ++l) lane[l] += a[j] * b[j] * c[j];
    return total(lane);
}

BDNN_CLONES
void add_scaled(double* __restrict y, double a, const double* __restrict x, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) y[j] += a * x[j];
}

BDNN_CLONES
double add_scaled_squares(double* __restrict y, double a, const double* __restrict x, std::size_t n) {
    double lane[LANES] = {};
    std::size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (std::size_t l = 0; l < LANES; ++l) {
            const double value = y[j + l] + a * x[j + l];
            y[j + l] = value;
            lane[l] += value * value;
        }
    for (std::size_t l = 0; j < n; ++j, ++l) {
        y[j] += a * x[j];
        lane[l] += y[j] * y[j];
    }
    return total(lane);
}

BDNN_CLONES
void fold(
    const double* __restrict g,
    const double* __restrict low,
    const double* __restrict high,
    double* __restrict size,
    double* __restrict room,
    std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) {
        const double down = -low[j], up = high[j];
        size[j] = std::fabs(g[j]);
        room[j] = g[j] > 0.0 ? up : down;
    }
}

BDNN_CLONES
void fold_both(
    const double* __restrict w,
    const double* __restrict low,
    const double* __restrict high,
    double* __restrict size,
    double* __restrict room,
    std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) {
        const double down = -low[j], up = high[j];
        size[j] = std::fabs(w[j]);
        room[j] = down > up ? down : up;
    }
}

BDNN_CLONES
Pair capped(const double* __restrict size, const double* __restrict room, double r, std::size_t n) {
    const Four most = all(r), zero = all(0.0);
    Four value[2] = {zero, zero}, slope[2] = {zero, zero};
    std::size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (std::size_t h = 0; h < 2; ++h) {
            const Four s = load(size + j + 4 * h), c = load(room + j + 4 * h);
            const FourFlags open = c > most;
            // infinite times 0 is no number
            value[h] += pick(s == zero, zero, s * pick(open, most, c));
            slope[h] += pick(open, s, zero);
        }
    double values[LANES], slopes[LANES];
    write(value, values);
    write(slope, slopes);
    for (std::size_t l = 0; j < n; ++j, ++l) {
        const double moved = size[j] * (room[j] > r ? r : room[j]);
        values[l] += size[j] == 0.0 ? 0.0 : moved;
        slopes[l] += room[j] > r ? size[j] : 0.0;
    }
    return {total(values), total(slopes)};
}

BDNN_CLONES
Pair water(const double* __restrict size, const double* __restrict room, double price, std::size_t n, double& full) {
    const Four level = all(price), zero = all(0.0), one = all(1.0);
    Four square[2] = {zero, zero}, used[2] = {zero, zero}, count[2] = {zero, zero};
    std::size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (std::size_t h = 0; h < 2; ++h) {
            const Four s = load(size + j + 4 * h), c = load(room + j + 4 * h);
            const FourFlags is_full = s > level * c;
            square[h] += pick(is_full, zero, pick(c > zero, s * s, zero));
            used[h] += pick(is_full, c * c, zero);
            count[h] += pick(is_full, one, zero);
        }
    double squares[LANES], uses[LANES], counts[LANES];
    write(square, squares);
    write(used, uses);
    write(count, counts);
    for (std::size_t l = 0; j < n; ++j, ++l) {
        const bool is_full = size[j] > price * room[j];
        squares[l] += !is_full && room[j] > 0.0 ? size[j] * size[j] : 0.0;
        uses[l] += is_full ? room[j] * room[j] : 0.0;
        counts[l] += is_full ? 1.0 : 0.0;
    }
    full = total(counts);
    return {total(squares), total(uses)};
}

BDNN_CLONES
double water_value(const double* __restrict size, const double* __restrict room, double price, std::size_t n) {
    const double half = 0.5 * price;
    const Four level = all(price), halves = all(half), some = all(0.5), zero = all(0.0);
    Four value[2] = {zero, zero};
    std::size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (std::size_t h = 0; h < 2; ++h) {
            const Four s = load(size + j + 4 * h), c = load(room + j + 4 * h);
            const Four most = pick(level * c > s, some * s * (s / level), s * c - halves * c * c);
            value[h] += pick(s == zero, zero, pick(c == zero, zero, most));
        }
    double values[LANES];
    write(value, values);
    for (std::size_t l = 0; j < n; ++j, ++l) {
        const double s = size[j], c = room[j];
        const double most = price * c > s ? 0.5 * s * (s / price) : s * c - half * c * c;
        values[l] += s == 0.0 || c == 0.0 ? 0.0 : most;
    }
    return total(values);
}

BDNN_CLONES
double product(const double* __restrict size, const double* __restrict room, std::size_t n) {
    const Four zero = all(0.0);
    Four value[2] = {zero, zero};
    std::size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (std::size_t h = 0; h < 2; ++h) {
            const Four s = load(size + j + 4 * h), c = load(room + j + 4 * h);
            value[h] += pick(s == zero, zero, pick(c == zero, zero, s * c));
        }
    double values[LANES];
    write(value, values);
    for (std::size_t l = 0; j < n; ++j, ++l) values[l] += size[j] == 0.0 || room[j] == 0.0 ? 0.0 : size[j] * room[j];
    return total(values);
}

BDNN_CLONES
bool finite(const double* __restrict a, std::size_t n) {
    double lane[LANES] = {};
    std::size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (std::size_t l = 0; l < LANES; ++l) lane[l] += a[j + l] * 0.0;
    for (std::size_t l = 0; j < n; ++j, ++l) lane[l] += a[j] * 0.0;
    return total(lane) == 0.0;
}

BDNN_CLONES
void clip(
    const double* __restrict g,
    const double* __restrict low,
    const double* __restrict high,
    double* __restrict e,
    std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) {
        const double least = low[j], most = high[j];
        const double raised = g[j] > least ? g[j] : least;
        e[j] = raised < most ? raised : most;
    }
}

BDNN_CLONES
void inside(
    const double* __restrict g,
    const double* __restrict low,
    const double* __restrict high,
    double* __restrict free,
    std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) {
        const double above = g[j] > low[j] ? 1.0 : 0.0;
        free[j] = g[j] < high[j] ? above : 0.0;
    }
}

BDNN_CLONES
Pair least_ratios(
    const double* __restrict t,
    const double* __restrict d,
    const double* __restrict room,
    const double* __restrict side,
    double tolerance,
    std::size_t n) {
    const Four never = all(INFINITE), zero = all(0.0), smallest = all(tolerance);
    Four down = never, up = never;
    std::size_t j = 0;
    for (; j + 4 <= n; j += 4) {
        const Four a = load(t + j), size = absolute(a), ratio = absolute(load(d + j)) / size;
        const Four counted = pick(size > smallest, pick(load(room + j) > zero, ratio, never), never);
        const FourFlags rises = a * load(side + j) > zero;
        const Four falling = pick(rises, never, counted), rising = pick(rises, counted, never);
        down = pick(falling < down, falling, down);
        up = pick(rising < up, rising, up);
    }
    Pair found{INFINITE, INFINITE};
    for (std::size_t l = 0; l < 4; ++l) {
        found.first = down[l] < found.first ? down[l] : found.first;
        found.second = up[l] < found.second ? up[l] : found.second;
    }
    for (; j < n; ++j) {
        if (!(std::fabs(t[j]) > tolerance) || !(room[j] > 0.0)) continue;
        const double ratio = std::fabs(d[j]) / std::fabs(t[j]);
        double& best = t[j] * side[j] > 0.0 ? found.second : found.first;
        best = ratio < best ? ratio : best;
    }
    return found;
}

BDNN_CLONES
Pair sums(const double* __restrict w, const double* __restrict x, std::size_t n) {
    const Four zero = all(0.0);
    Four value[2] = {zero, zero}, size[2] = {zero, zero};
    std::size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (std::size_t h = 0; h < 2; ++h) {
            const Four term = load(w + j + 4 * h) * load(x + j + 4 * h);
            value[h] += term;
            size[h] += absolute(term);
        }
    double values[LANES], sizes[LANES];
    write(value, values);
    write(size, sizes);
    for (std::size_t l = 0; j < n; ++j, ++l) {
        const double term = w[j] * x[j];
        values[l] += term;
        sizes[l] += std::fabs(term);
    }
    return {total(values), total(sizes)};
}

}  // namespace bdnn::certify::loops
