#include "search/arrangement_walk.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <utility>

#include "clones.hpp"

namespace bdnn::search {

namespace {

constexpr double TINY = 1e-9;        // values that count as 0
constexpr double STEEP = 1e-7;       // smallest pivots
constexpr double STANDING = 1e-11;   // moves that count as none
constexpr double EQUAL = 1e-9;       // objectives that count as equal
constexpr std::size_t FEW = 192;     // so many crossings are sorted by comparisons

// y += a x.
BDNN_CLONES void add_scaled(double* BDNN_RESTRICT y, double a, const double* BDNN_RESTRICT x, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) y[j] += a * x[j];
}

BDNN_CLONES void scale(double* x, double a, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) x[j] *= a;
}

// An integer of the same order as a finite number.
std::uint64_t ordered(double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value + 0.0);  // -0 is 0
    return bits >> 63 ? ~bits : bits | (std::uint64_t{1} << 63);
}

}  // namespace

ArrangementWalk::ArrangementWalk(
    double* table, double* lines, const double* g, std::size_t size, std::size_t p, Settings settings)
    : basis(size, FREE),
      inside(p),
      table_(table),
      lines_(lines),
      g_(g),
      size_(size),
      p_(p),
      settings_(settings),
      state_(settings.seed ? settings.seed : 1),
      random_(nullptr),
      banned_(p),
      kept_(p),
      order_(size) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    crossings_.reserve(p);
    sorted_.resize(p);
}

double ArrangementWalk::run(Index until, double target, Poll& poll) {
    random_ = Random(&state_);
    fixed_ = 0.0;
    for (std::size_t k = 1; k < size_; ++k)
        if (basis[k] >= 0) fixed_ += wanted(basis[k]);
    double value = std::numeric_limits<double>::infinity();
    while (step < until) {
        poll.spent(16 * size_);  // even if there are no points, or no lines
        ++step;
        const auto [vertex, line] = choose(target, poll);
        value = vertex.objective;
        if (line == 0) continue;
        const Index own = basis[line];
        const auto point = static_cast<std::size_t>(vertex.point);
        if (own >= 0) {
            banned_[static_cast<std::size_t>(own)] =
                step + 1 + static_cast<Index>(settings_.tenure * (0.5 + random_.uniform()));
            fixed_ -= wanted(own);
        }
        kept_[point] = step + 1 + static_cast<Index>(0.3 * settings_.tenure * random_.uniform());
        pivot(line, point, vertex.away);
        fixed_ += wanted(vertex.point);
        if (value < target - EQUAL) break;
    }
    return value;
}

// What a point on the hyperplane adds to the objective: it comes to the side where it should be.
double ArrangementWalk::wanted(Index point) const { return std::min(g_[static_cast<std::size_t>(point)], 0.0); }

// Look at random lines, at some of those that have met a point and at all others until one is found; take the best
// vertex. The line is 0 if there is none.
ArrangementWalk::Move ArrangementWalk::choose(double target, Poll& poll) {
    Move best;
    Index ties = 0;
    double count = 0.0;
    for (std::size_t c = 1; c < size_; ++c) {
        poll.spent(16 * p_);
        std::swap(order_[c], order_[c + static_cast<std::size_t>(random_.uniform() * static_cast<double>(size_ - c))]);
        const std::size_t k = order_[c];
        const Index own = basis[k];
        if (own == NEVER) continue;
        if (own >= 0) {
            if (kept_[static_cast<std::size_t>(own)] > step) continue;
            if (count >= settings_.looked && best.line > 0) break;
            count += 1.0;
        }
        const Vertex vertex = best_vertex(k, target);
        if (vertex.point < 0) {
            if (own == FREE && vanishes(k)) basis[k] = NEVER;
            continue;
        }
        if (vertex.objective < best.vertex.objective - EQUAL) {
            best = {vertex, k};
            ties = 1;
        } else if (vertex.objective <= best.vertex.objective + EQUAL) {
            ++ties;
            if (random_.replaces(ties)) {
                best.vertex.point = vertex.point;
                best.vertex.away = vertex.away;
                best.line = k;
            }
        }
    }
    return best;
}

bool ArrangementWalk::vanishes(std::size_t line) const {
    const double* s = row(line);
    return std::all_of(s, s + p_, [](double value) { return std::fabs(value) <= TINY; });
}

// Where a point on all hyperplanes of a line comes to: the small turn of the points held decides.
bool ArrangementWalk::turns_positive(std::size_t line, std::size_t point) const {
    double turn = 0.0;
    for (std::size_t k = 1; k < size_; ++k)
        if (k != line && basis[k] >= 0) {
            const double value = row(k)[point];
            turn += g_[static_cast<std::size_t>(basis[k])] < 0.0 ? value : -value;
        }
    return turn >= 0.0;
}

// Note where a line crosses the hyperplanes of points; return the objective far back on the line.
double ArrangementWalk::collect_crossings(std::size_t line) {
    const double *a = row(0), *s = row(line);
    const Index own = basis[line];
    double value = fixed_;
    if (own >= 0) value -= wanted(own);
    crossings_.clear();
    for (std::size_t i = 0; i < p_; ++i) {
        const bool mine = static_cast<Index>(i) == own;
        if (inside[i] && !mine) continue;
        if (mine || std::fabs(s[i]) > TINY) {
            const double away = mine ? 0.0 : -a[i] / s[i];
            if (!std::isfinite(away)) continue;
            crossings_.push_back({ordered(away), away, static_cast<std::uint32_t>(i)});
            value += s[i] < 0.0 ? g_[i] : 0.0;
        } else if (std::fabs(a[i]) > TINY) {
            value += a[i] > 0.0 ? g_[i] : 0.0;
        } else {
            value += turns_positive(line, i) ? g_[i] : 0.0;
        }
    }
    return value;
}

// Sort by key and then by point. Of many, first by their leading 33 bits in three passes, which leaves little to do.
void ArrangementWalk::sort_crossings() {
    const auto before = [](const Crossing& x, const Crossing& y) {
        return x.key < y.key || (x.key == y.key && x.point < y.point);
    };
    const std::size_t n = crossings_.size();
    if (n <= FEW) {
        std::sort(crossings_.begin(), crossings_.end(), before);
        return;
    }
    constexpr unsigned BITS = 11, FIRST = 64 - 3 * BITS;
    constexpr std::size_t BINS = std::size_t{1} << BITS;
    sorted_.resize(n);
    for (unsigned shift = FIRST; shift < 64; shift += BITS) {
        std::array<std::uint32_t, BINS> start{};
        for (const Crossing& each : crossings_) ++start[(each.key >> shift) & (BINS - 1)];
        std::uint32_t total = 0;
        for (std::uint32_t& each : start) total += std::exchange(each, total);
        for (const Crossing& each : crossings_) sorted_[start[(each.key >> shift) & (BINS - 1)]++] = each;
        crossings_.swap(sorted_);
    }
    for (std::size_t begin = 0; begin < n;) {
        std::size_t end = begin + 1;
        while (end < n && crossings_[end].key >> FIRST == crossings_[begin].key >> FIRST) ++end;
        if (end - begin > 1)
            std::sort(crossings_.begin() + static_cast<std::ptrdiff_t>(begin),
                      crossings_.begin() + static_cast<std::ptrdiff_t>(end), before);
        begin = end;
    }
}

// The best vertex on a line.
ArrangementWalk::Vertex ArrangementWalk::best_vertex(std::size_t line, double target) {
    double value = collect_crossings(line);
    sort_crossings();
    const double* s = row(line);
    const Index own = basis[line];
    Vertex best;
    Index ties = 0;
    for (std::size_t at = 0; at < crossings_.size();) {
        const double t = crossings_[at].away, before = value, last = t + 1e-10 * std::fabs(t) + 1e-12;
        Index point = -1;
        double steepest = STEEP;
        for (; at < crossings_.size() && crossings_[at].away <= last; ++at) {
            const std::size_t i = crossings_[at].point;
            value += s[i] > 0.0 ? g_[i] : -g_[i];
            if (static_cast<Index>(i) != own && std::fabs(s[i]) > steepest) {
                point = static_cast<Index>(i);
                steepest = std::fabs(s[i]);
            }
        }
        if (point < 0 || std::fabs(t) < STANDING) continue;
        const double v = std::min(before, value);
        if (banned_[static_cast<std::size_t>(point)] > step && v >= target) continue;
        if (v < best.objective - EQUAL) {
            best = {v, point, t};
            ties = 1;
        } else if (v <= best.objective + EQUAL) {
            ++ties;
            if (random_.replaces(ties)) {
                best.point = point;
                best.away = t;
            }
        }
    }
    return best;
}

// Go along a line to the hyperplane through another point.
void ArrangementWalk::pivot(std::size_t line, std::size_t point, double away) {
    double* const moved = lines_ + line * size_;
    add_scaled(row(0), away, row(line), p_);
    add_scaled(lines_, away, moved, size_);
    const double inverse = 1.0 / row(line)[point];
    for (std::size_t k = 1; k < size_; ++k) {
        const double factor = row(k)[point] * inverse;
        if (k == line || factor == 0.0) continue;
        add_scaled(row(k), -factor, row(line), p_);
        add_scaled(lines_ + k * size_, -factor, moved, size_);
        row(k)[point] = 0.0;
    }
    scale(row(line), inverse, p_);
    scale(moved, inverse, size_);
    row(line)[point] = 1.0;
    if (basis[line] >= 0) inside[static_cast<std::size_t>(basis[line])] = 0;
    basis[line] = static_cast<Index>(point);
    inside[point] = 1;
    for (std::size_t k = 1; k < size_; ++k)
        if (basis[k] >= 0) row(0)[basis[k]] = 0.0;
    double largest = 0.0;
    for (std::size_t j = 0; j < size_; ++j) largest = std::max(largest, std::fabs(lines_[j]));
    scale(row(0), 1.0 / largest, p_);
    scale(lines_, 1.0 / largest, size_);
}

}  // namespace bdnn::search
