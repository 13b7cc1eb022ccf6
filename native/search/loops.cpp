#include "search/loops.hpp"

#include <cmath>
#include <limits>

#include "clones.hpp"
#include "lanes.hpp"

namespace bdnn::search::loops {

namespace {

template <class T>
BDNN_INLINE void gather_loop(Index m, const T* BDNN_RESTRICT signal, const std::int32_t* BDNN_RESTRICT points,
                             T* BDNN_RESTRICT out) {
    for (Index r = 0; r < m; ++r) out[r] = signal[points[r]];
}

template <class T>
BDNN_INLINE void add_gathered_loop(Index m, double v, const T* BDNN_RESTRICT x,
                                   const std::int32_t* BDNN_RESTRICT points, double* BDNN_RESTRICT out) {
    for (Index r = 0; r < m; ++r) out[r] += v * static_cast<double>(x[points[r]]);
}

// Four columns at a time, which saves reading and writing sums; each sum is still taken in the order of the columns.
template <class T>
BDNN_INLINE void add_columns_loop(Index m, Index count, const double* v, const T* const* x,
                                  double* BDNN_RESTRICT out) {
    Index j = 0;
    for (; j + 4 <= count; j += 4) {
        const T *BDNN_RESTRICT x0 = x[j], *BDNN_RESTRICT x1 = x[j + 1], *BDNN_RESTRICT x2 = x[j + 2],
                               *BDNN_RESTRICT x3 = x[j + 3];
        double v0 = v[j], v1 = v[j + 1], v2 = v[j + 2], v3 = v[j + 3];
        for (Index r = 0; r < m; ++r) {
            double sum = out[r] + v0 * static_cast<double>(x0[r]);
            sum += v1 * static_cast<double>(x1[r]);
            sum += v2 * static_cast<double>(x2[r]);
            out[r] = sum + v3 * static_cast<double>(x3[r]);
        }
    }
    for (; j < count; ++j) {
        const T* BDNN_RESTRICT x0 = x[j];
        double v0 = v[j];
        for (Index r = 0; r < m; ++r) out[r] += v0 * static_cast<double>(x0[r]);
    }
}

using Four = Several<double>;
BDNN_INLINE const Four& four(const double* x) { return several(x); }

// Sums in LANES accumulators: value r goes to number r modulo LANES.
struct Lanes {
    Four low = {}, high = {};
    double rest[LANES] = {};

    BDNN_INLINE double total() const {
        double sum = 0.0;
        for (int k = 0; k < 4; ++k) sum += (low[k] + rest[k]) + (high[k] + rest[4 + k]);
        return sum;
    }
};

BDNN_INLINE void add_to_lanes(Index m, const double* values, Lanes& lanes) {
    Index r = 0;
    for (; r + LANES <= m; r += LANES) {
        lanes.low += four(values + r);
        lanes.high += four(values + r + 4);
    }
    for (Index lane = 0; r < m; ++r, ++lane) lanes.rest[lane] += values[r];
}

// Breakpoint T of integers means that the jump is done for all t >= T.
template <bool INTEGER, class Slot>
BDNN_INLINE double breakpoints_loop(Index m, const double* BDNN_RESTRICT a, const double* BDNN_RESTRICT s,
                                    const double* BDNN_RESTRICT g, Buckets buckets, Slot* BDNN_RESTRICT slot,
                                    double* BDNN_RESTRICT jump) {
    double starts[CHUNK];
    Lanes total;
    double low = buckets.low, per = buckets.per, last = buckets.last;
    for (Index r = 0; r < m; ++r) {
        double t = -a[r] / s[r];
        if constexpr (INTEGER) {
            double up = std::ceil(t), down = std::floor(t) + 1.0;
            t = s[r] > 0.0 ? up : down;
        }
        double x = (t - low) * per;
        x = x > 0.0 ? x : 0.0;  // also what is not a number
        x = x < last ? x : last;
        double v = s[r] == 0.0 ? 0.0 : g[r];
        double d = s[r] > 0.0 ? v : -v;
        jump[r] = d;
        slot[r] = static_cast<Slot>(2 * static_cast<std::int32_t>(x) + (d < 0.0 ? 1 : 0));
        starts[r] = (s[r] < 0.0 ? v : 0.0) - (a[r] >= 0.0 ? v : 0.0);
    }
    add_to_lanes(m, starts, total);
    return total.total();
}

// Sums of products of four rows with the same numbers, each in four accumulators.
BDNN_INLINE void dots(Index m, const double* x, const double* rows, Index stride, double* out) {
    const double *row0 = rows, *row1 = rows + stride, *row2 = rows + 2 * stride, *row3 = rows + 3 * stride;
    Four sum0 = {}, sum1 = {}, sum2 = {}, sum3 = {};
    Index r = 0;
    for (; r + 4 <= m; r += 4) {
        sum0 += four(x + r) * four(row0 + r);
        sum1 += four(x + r) * four(row1 + r);
        sum2 += four(x + r) * four(row2 + r);
        sum3 += four(x + r) * four(row3 + r);
    }
    out[0] = (sum0[0] + sum0[1]) + (sum0[2] + sum0[3]);
    out[1] = (sum1[0] + sum1[1]) + (sum1[2] + sum1[3]);
    out[2] = (sum2[0] + sum2[1]) + (sum2[2] + sum2[3]);
    out[3] = (sum3[0] + sum3[1]) + (sum3[2] + sum3[3]);
    for (; r < m; ++r) {
        out[0] += x[r] * row0[r];
        out[1] += x[r] * row1[r];
        out[2] += x[r] * row2[r];
        out[3] += x[r] * row3[r];
    }
}

BDNN_INLINE double dot_loop(Index m, const double* x, const double* y) {
    Lanes lanes;
    Index r = 0;
    for (; r + LANES <= m; r += LANES) {
        lanes.low += four(x + r) * four(y + r);
        lanes.high += four(x + r + 4) * four(y + r + 4);
    }
    for (Index lane = 0; r < m; ++r, ++lane) lanes.rest[lane] += x[r] * y[r];
    return lanes.total();
}

}  // namespace

BDNN_CLONES void gather(Index m, const float* signal, const std::int32_t* points, float* out) {
    gather_loop(m, signal, points, out);
}
BDNN_CLONES void gather(Index m, const double* signal, const std::int32_t* points, double* out) {
    gather_loop(m, signal, points, out);
}
void gather(Index m, const std::uint8_t* signal, const std::int32_t* points, std::uint8_t* out) {
    gather_loop(m, signal, points, out);
}

BDNN_CLONES void add_columns(Index m, Index count, const double* v, const float* const* x, double* out) {
    add_columns_loop(m, count, v, x, out);
}
BDNN_CLONES void add_columns(Index m, Index count, const double* v, const double* const* x, double* out) {
    add_columns_loop(m, count, v, x, out);
}
BDNN_CLONES void add_columns(Index m, Index count, const double* v, const std::uint8_t* const* x, double* out) {
    add_columns_loop(m, count, v, x, out);
}

void add_gathered(Index m, double v, const float* x, const std::int32_t* points, double* out) {
    add_gathered_loop(m, v, x, points, out);
}
void add_gathered(Index m, double v, const double* x, const std::int32_t* points, double* out) {
    add_gathered_loop(m, v, x, points, out);
}
void add_gathered(Index m, double v, const std::uint8_t* x, const std::int32_t* points, double* out) {
    add_gathered_loop(m, v, x, points, out);
}

void fill(Index m, double value, double* out) {
    for (Index r = 0; r < m; ++r) out[r] = value;
}

BDNN_CLONES void add(Index m, double value, double* out) {
    for (Index r = 0; r < m; ++r) out[r] += value;
}

BDNN_CLONES double objective(Index m, const double* BDNN_RESTRICT a, const double* BDNN_RESTRICT g) {
    double part[CHUNK];
    Lanes total;
    for (Index begin = 0; begin < m; begin += CHUNK) {
        Index some = m - begin < CHUNK ? m - begin : CHUNK;
        for (Index r = 0; r < some; ++r) part[r] = a[begin + r] >= 0.0 ? g[begin + r] : 0.0;
        add_to_lanes(some, part, total);
    }
    return total.total();
}

BDNN_CLONES void move(Index m, const double* BDNN_RESTRICT a, double t, const double* BDNN_RESTRICT s,
                      double* BDNN_RESTRICT out) {
    for (Index r = 0; r < m; ++r) out[r] = a[r] + t * s[r];
}

BDNN_CLONES double move_and_sum(Index m, const double* BDNN_RESTRICT a, double t, const double* BDNN_RESTRICT s,
                                const double* BDNN_RESTRICT g, double* BDNN_RESTRICT out) {
    double part[CHUNK];
    Lanes total;
    for (Index begin = 0; begin < m; begin += CHUNK) {
        Index some = m - begin < CHUNK ? m - begin : CHUNK;
        for (Index r = 0; r < some; ++r) {
            double x = a[begin + r] + t * s[begin + r];
            out[begin + r] = x;
            part[r] = x >= 0.0 ? g[begin + r] : 0.0;
        }
        add_to_lanes(some, part, total);
    }
    return total.total();
}

BDNN_CLONES double breakpoints(Index m, const double* a, const double* s, const double* g, Buckets buckets,
                               bool integer, std::uint16_t* slot, double* jump) {
    return integer ? breakpoints_loop<true>(m, a, s, g, buckets, slot, jump)
                   : breakpoints_loop<false>(m, a, s, g, buckets, slot, jump);
}
BDNN_CLONES double breakpoints(Index m, const double* a, const double* s, const double* g, Buckets buckets,
                               bool integer, std::int32_t* slot, double* jump) {
    return integer ? breakpoints_loop<true>(m, a, s, g, buckets, slot, jump)
                   : breakpoints_loop<false>(m, a, s, g, buckets, slot, jump);
}

BDNN_CLONES void choose_slots(Index buckets, const double* BDNN_RESTRICT starts, double least,
                              const double* BDNN_RESTRICT sums, std::uint8_t* BDNN_RESTRICT wanted) {
    for (Index k = 0; k < buckets; ++k) {
        double up = sums[2 * k], down = sums[2 * k + 1];
        int touches = (starts[k] == least ? 1 : 0) | (starts[k + 1] == least ? 1 : 0);
        int moves = (up != 0.0 ? 1 : 0) | (down != 0.0 ? 1 : 0);
        std::uint8_t chosen = static_cast<std::uint8_t>(moves & (touches | (starts[k] + down < least ? 1 : 0)));
        wanted[2 * k] = chosen;
        wanted[2 * k + 1] = chosen;
    }
}

// The smallest of each lane first, without branches, then those of all lanes.
BDNN_CLONES void smallest(Index m, const double* BDNN_RESTRICT values, double* BDNN_RESTRICT out) {
    constexpr double INFINITE = std::numeric_limits<double>::infinity();
    constexpr Index WIDE = 16;
    double first[WIDE], second[WIDE], third[WIDE], fourth[WIDE];
    for (Index lane = 0; lane < WIDE; ++lane) first[lane] = second[lane] = third[lane] = fourth[lane] = INFINITE;
    for (Index r = 0; r + WIDE <= m; r += WIDE)
        for (Index lane = 0; lane < WIDE; ++lane) {
            double t = values[r + lane], x = first[lane];
            first[lane] = t < x ? t : x, t = t < x ? x : t, x = second[lane];
            second[lane] = t < x ? t : x, t = t < x ? x : t, x = third[lane];
            third[lane] = t < x ? t : x, t = t < x ? x : t, x = fourth[lane];
            fourth[lane] = t < x ? t : x;
        }
    for (Index k = 0; k < SMALLEST; ++k) out[k] = INFINITE;
    auto insert = [out](double t) {
        if (!(t < out[SMALLEST - 1])) return;
        Index place = SMALLEST - 1;
        for (; place > 0 && t < out[place - 1]; --place) out[place] = out[place - 1];
        out[place] = t;
    };
    for (Index r = m - m % WIDE; r < m; ++r) insert(values[r]);
    for (Index lane = 0; lane < WIDE; ++lane) {
        insert(first[lane]);
        insert(second[lane]);
        insert(third[lane]);
        insert(fourth[lane]);
    }
}

BDNN_CLONES Index doubtful(Index m, const double* BDNN_RESTRICT a, double error) {
    std::int64_t count = 0;
    for (Index r = 0; r < m; ++r) count += std::fabs(a[r]) <= error ? 1 : 0;
    return static_cast<Index>(count);
}

BDNN_CLONES void mark_flips(Index m, const double* BDNN_RESTRICT a, const std::uint8_t* BDNN_RESTRICT fires, double v,
                            std::uint8_t* BDNN_RESTRICT flips) {
    for (Index r = 0; r < m; ++r) {
        double then = fires[r] != 0 ? a[r] - v : a[r] + v;
        flips[r] = (a[r] >= 0.0) != (then >= 0.0) ? 1 : 0;
    }
}

BDNN_CLONES void fire(Index m, const double* BDNN_RESTRICT a, std::uint8_t* BDNN_RESTRICT fires,
                      std::uint8_t* BDNN_RESTRICT changed) {
    for (Index r = 0; r < m; ++r) {
        std::uint8_t now = a[r] >= 0.0 ? 1 : 0, before = fires[r] != 0 ? 1 : 0;
        changed[r] |= static_cast<std::uint8_t>(now ^ before);
        fires[r] = now;
    }
}

BDNN_CLONES void fire_interval(Index m, const double* BDNN_RESTRICT least, const double* BDNN_RESTRICT most,
                               double error, std::uint8_t* BDNN_RESTRICT on, std::uint8_t* BDNN_RESTRICT maybe,
                               std::uint8_t* BDNN_RESTRICT changed) {
    for (Index r = 0; r < m; ++r) {
        std::uint8_t surely = least[r] >= error ? 1 : 0, off = most[r] < -error ? 1 : 0;
        changed[r] |= (on[r] ^ surely) | (maybe[r] ^ (off ^ 1));
        on[r] = surely;
        maybe[r] = off ^ 1;
    }
}

BDNN_CLONES double dot(Index m, const double* x, const double* y) { return dot_loop(m, x, y); }

BDNN_CLONES void weighted_products(Index n, Index m, const double* BDNN_RESTRICT x, Index stride,
                                   const double* BDNN_RESTRICT weight, double* BDNN_RESTRICT work,
                                   double* BDNN_RESTRICT H) {
    for (Index j = 0; j < n; ++j) {
        const double* row = x + j * stride;
        for (Index r = 0; r < m; ++r) work[r] = weight[r] * row[r];
        Index i = j;
        for (; i + 4 <= n; i += 4) dots(m, work, x + i * stride, stride, H + j * n + i);
        for (; i < n; ++i) H[j * n + i] = dot_loop(m, work, x + i * stride);
    }
}

BDNN_CLONES void solve_positive(Index n, double* BDNN_RESTRICT H, double* BDNN_RESTRICT v) {
    for (Index k = 0; k < n; ++k) {
        double* row = H + k * n;
        double root = std::sqrt(row[k] > 1e-300 ? row[k] : 1e-300), inverse = 1.0 / root;
        for (Index i = k; i < n; ++i) row[i] *= inverse;
        row[k] = root;
        for (Index j = k + 1; j < n; ++j) {
            double factor = row[j], *below = H + j * n;
            for (Index i = j; i < n; ++i) below[i] -= factor * row[i];
        }
    }
    for (Index k = 0; k < n; ++k) {
        v[k] /= H[k * n + k];
        double x = v[k];
        for (Index i = k + 1; i < n; ++i) v[i] -= H[k * n + i] * x;
    }
    for (Index k = n - 1; k >= 0; --k)
        v[k] = (v[k] - dot_loop(n - k - 1, H + k * n + k + 1, v + k + 1)) / H[k * n + k];
}

}  // namespace bdnn::search::loops
