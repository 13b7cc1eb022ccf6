#include "search/line_search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace bdnn::search {

namespace {

constexpr Index SAMPLE = 64;
constexpr Index MOST_BUCKETS = 8192;
constexpr Index POINTS_OF_BUCKET = 4;
constexpr Index LEAST_BUCKETS = 8;
// a twentieth of the sample at each end is left out
constexpr Index TAIL = 20;
static_assert(SAMPLE / TAIL < loops::SMALLEST);
static_assert(2 * MOST_BUCKETS <= 65536);  // slots have 16 bits
constexpr Index FEW = 12;  // breakpoints are sorted by insertion
constexpr double INFINITE = std::numeric_limits<double>::infinity();

}  // namespace

double breakpoint(double a, double s, bool integer) {
    double t = -a / s;
    if (integer) t = s > 0.0 ? std::ceil(t) : std::floor(t) + 1.0;
    return t;
}

// A range of t that holds most of the breakpoints: between the extremes of a sample, its tails left out.
loops::Buckets LineSearch::range(const Line& line, bool integer, Index count) const {
    double t[SAMPLE] = {}, minus[SAMPLE] = {}, low_end[loops::SMALLEST], high_end[loops::SMALLEST];
    Index n = 0, step = std::max<Index>(1, line.size / SAMPLE), size = std::min(SAMPLE, line.size);
    for (Index k = 0; k < size; ++k) {
        double a = line.a[k * step], s = line.s[k * step];
        t[k] = s != 0.0 ? -a / s : INFINITE;
        minus[k] = s != 0.0 ? a / s : INFINITE;
        n += s != 0.0 ? 1 : 0;
    }
    loops::smallest(size, t, low_end);
    loops::smallest(size, minus, high_end);
    double low = -1.0, high = 1.0;
    if (n > 0) {
        low = low_end[n / TAIL], high = -high_end[n / TAIL];
        if (integer) low = std::floor(low), high = std::ceil(high) + 1.0;
        if (!(high > low)) high = low + 0.5, low = low - 0.5;
    }
    return {low, static_cast<double>(count) / (high - low), static_cast<double>(count) - 1.0};
}

// Put all points into buckets and sum their jumps; return the objective at t = -inf less the one at t = 0.
double LineSearch::fill(const Line& line, bool integer, loops::Buckets buckets, Index count, Interrupt& interrupt) {
    std::fill(sums_, sums_ + 2 * count, 0.0);
    double jump[loops::CHUNK], before = 0.0;
    for (Index begin = 0; begin < line.size; begin += loops::CHUNK) {
        Index some = std::min(loops::CHUNK, line.size - begin);
        if (interrupt.wanted(some)) break;
        std::uint16_t* slot = slot_ + begin;
        before += loops::breakpoints(some, line.a + begin, line.s + begin, line.g + begin, buckets, integer, slot, jump);
        for (Index r = 0; r < some; ++r) sums_[slot[r]] += jump[r];
    }
    return before;
}

// Find the objective at the start of each bucket, and the buckets in which it may be least.
void LineSearch::choose(double before, Index count) {
    double value = before, least = before;
    for (Index k = 0; k < count; ++k) {
        starts_[k] = value;
        value += sums_[2 * k] + sums_[2 * k + 1];
        least = std::min(least, value);
    }
    starts_[count] = value;
    loops::choose_slots(count, starts_, least, sums_, wanted_);
}

// Collect the points in these buckets that move.
Index LineSearch::pick(const Line& line, bool integer, Interrupt& interrupt) {
    picked_ = picked_room_.get(line.size + 1);
    Index n = 0;
    auto look = [&](Index i) {
        if (!wanted_[slot_[i]] || line.s[i] == 0.0) return;
        picked_[n++] = {breakpoint(line.a[i], line.s[i], integer), slot_[i] / 2, static_cast<std::int32_t>(i)};
    };
    constexpr Index FEW_AT_ONCE = 8;  // most have nothing to pick
    Index i = 0;
    for (; i + FEW_AT_ONCE <= line.size; i += FEW_AT_ONCE) {
        if (i % loops::CHUNK == 0 && interrupt.wanted(loops::CHUNK)) return 0;
        unsigned any = 0;
        for (Index r = 0; r < FEW_AT_ONCE; ++r) any |= wanted_[slot_[i + r]];
        if (any)
            for (Index r = 0; r < FEW_AT_ONCE; ++r) look(i + r);
    }
    for (; i < line.size; ++i) look(i);
    return n;
}

// Order what was picked by bucket, and by value within each.
void LineSearch::group(Index picked, Index count, Interrupt& interrupt) {
    Index* ends = ends_room_.get(count + 1);
    std::fill(ends, ends + count + 1, 0);
    for (Index k = 0; k < picked; ++k) ++ends[picked_[k].bucket + 1];
    for (Index k = 0; k < count; ++k) ends[k + 1] += ends[k];
    grouped_ = grouped_room_.get(picked + 1);
    Breakpoint* room = merged_room_.get(picked + 1);
    for (Index k = 0; k < picked; ++k) grouped_[ends[picked_[k].bucket]++] = picked_[k];
    Index first = 0;
    for (Index k = 0; k < count; ++k) {
        if (ends[k] > first) sort(grouped_ + first, grouped_ + ends[k], room, interrupt);
        first = ends[k];
    }
}

// Sort by insertion; numbers that are not comparable must do no harm, hence no std::sort.
void LineSearch::insert(Breakpoint* first, Breakpoint* last) {
    for (Breakpoint* each = first + 1; each < last; ++each) {
        Breakpoint moved = *each;
        Breakpoint* at = each;
        for (; at > first && at[-1].t > moved.t; --at) *at = at[-1];
        *at = moved;
    }
}

// Sort by merging, with as much room again; the outer buckets hold many breakpoints. A layer above the first has few
// different ones: most buckets hold a single one, and are sorted at once. After an interrupt the order is of no use.
void LineSearch::sort(Breakpoint* first, Breakpoint* last, Breakpoint* room, Interrupt& interrupt) {
    Index size = last - first;
    if (size <= FEW) return insert(first, last);
    if (std::is_sorted(first, last, [](const Breakpoint& x, const Breakpoint& y) { return x.t < y.t; })) return;
    for (Index low = 0; low < size; low += FEW) insert(first + low, first + std::min(size, low + FEW));
    Breakpoint *from = first, *to = room;
    for (Index width = FEW; width < size; width *= 2, std::swap(from, to))
        for (Index low = 0; low < size; low += 2 * width) {
            if (interrupt.wanted(std::min(size, 2 * width))) return;
            merge(from + low, from + std::min(size, low + width), from + std::min(size, low + 2 * width), to + low);
        }
    if (from != first) std::copy(from, from + size, first);
}

// Merge two sorted parts; which one comes next is a matter of chance, so there is no branch on it.
void LineSearch::merge(const Breakpoint* low, const Breakpoint* middle, const Breakpoint* high, Breakpoint* out) {
    const Breakpoint* other = middle;
    while (low < middle && other < high) {
        bool second = other->t < low->t;
        *out++ = *(second ? other : low);
        other += second ? 1 : 0;
        low += second ? 0 : 1;
    }
    out = std::copy(low, middle, out);
    std::copy(other, high, out);
}

// Go through the sorted breakpoints and keep the best interval between two.
Interval LineSearch::sweep(const Line& line, Index picked, Index count, Random random, Interrupt& interrupt) const {
    Interval best{INFINITE, 0.0, 0.0};
    Index ties = 0, behind = -1;
    double previous = -INFINITE, current = starts_[0];
    for (Index k = 0; k <= picked; ++k) {
        if (k % loops::CHUNK == 0 && interrupt.wanted(loops::CHUNK)) break;
        double t = k < picked ? grouped_[k].t : INFINITE;
        Index at = k < picked ? grouped_[k].bucket : count;
        bool known = true;
        if (at != behind) {
            // buckets that were not picked may lie between: then both ends of this interval are not breakpoints
            for (Index m = behind + 1; m < at; ++m) known = known && !moves(m);
            current = starts_[at];
        }
        if (known && t > previous) {
            if (current < best.change) {
                best = {current, previous, t};
                ties = 1;
            } else if (current == best.change && random.replaces(++ties)) {
                best.left = previous, best.right = t;
            }
        }
        if (k == picked) break;
        double g = line.g[grouped_[k].point];
        current += line.s[grouped_[k].point] > 0.0 ? g : -g;
        previous = t, behind = at;
    }
    return best;
}

Interval LineSearch::minimise(const Line& line, bool integer, Random random, Interrupt& interrupt) {
    constexpr Interval NOTHING{0.0, -INFINITE, INFINITE};
    if (interrupt.stopped()) return NOTHING;
    Index count = std::max(LEAST_BUCKETS, std::min(MOST_BUCKETS, line.size / POINTS_OF_BUCKET));
    slot_ = slot_room_.get(line.size);
    sums_ = sums_room_.get(2 * count);
    starts_ = starts_room_.get(count + 1);
    wanted_ = wanted_room_.get(2 * count);
    double before = fill(line, integer, range(line, integer, count), count, interrupt);
    if (interrupt.stopped()) return NOTHING;
    choose(before, count);
    Index picked = pick(line, integer, interrupt);
    group(picked, count, interrupt);
    Interval best = sweep(line, picked, count, random, interrupt);
    return interrupt.stopped() ? NOTHING : best;
}

Step lattice_search(const Line& line, double t_min, Index count, Random random, Room<double>& room) {
    // the last bucket takes what happens beyond t_max; several copies of few buckets, as points that come one after the
    // other would wait for each other
    constexpr Index COPIES = 4, FEW_BUCKETS = 512;
    Index size = 2 * (count + 1), apart = count < FEW_BUCKETS ? size : 0;
    double* jumps = room.get(size + 3 * apart);
    std::fill(jumps, jumps + size + 3 * apart, 0.0);
    loops::Buckets buckets{t_min, 1.0, static_cast<double>(count)};
    std::int32_t slot[loops::CHUNK];
    double jump[loops::CHUNK], value = 0.0;
    for (Index begin = 0; begin < line.size; begin += loops::CHUNK) {
        Index some = std::min(loops::CHUNK, line.size - begin);
        value += loops::breakpoints(some, line.a + begin, line.s + begin, line.g + begin, buckets, true, slot, jump);
        for (Index r = 0; r < some; ++r) jumps[slot[r] + r % COPIES * apart] += jump[r];
    }
    Step best{INFINITE, t_min};
    Index ties = 0;
    for (Index k = 0; k < count; ++k) {
        value += jumps[2 * k] + jumps[2 * k + 1];
        for (Index copy = 1; copy < COPIES && apart > 0; ++copy)
            value += jumps[copy * apart + 2 * k] + jumps[copy * apart + 2 * k + 1];
        double t = t_min + static_cast<double>(k);
        if (value < best.change) {
            best = {value, t};
            ties = 1;
        } else if (value == best.change && random.replaces(++ties)) {
            best.t = t;
        }
    }
    return best;
}

}  // namespace bdnn::search
