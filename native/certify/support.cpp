#include "certify/support.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "certify/exact_numerics.hpp"
#include "certify/vector_loops.hpp"

namespace bdnn::certify {

namespace {

constexpr double INFINITE = std::numeric_limits<double>::infinity();
constexpr double CLOSE = 4e-16;      // two units in the last place: Newton's method gets no nearer
constexpr int MOST_STEPS = 200;      // a step ends the method or passes a kink; it takes 3 or 4
constexpr int MOST_SHRINKS = 24;     // 4 UNIT · 4^24 = 0.1: a proof that needs more is no proof of this radius
constexpr double UNDERFLOWS = 1e-300;  // above what all underflows together can make

}  // namespace

void combine(const HalfSpaces& rows, const double* factors, double* g) {
    std::fill_n(g, rows.n, 0.0);
    for (std::size_t i = 0; i < rows.k; ++i)
        if (factors[i] != 0.0) loops::add_scaled(g, factors[i], rows.row(i), rows.n);
}

double largest_move(const double* x, const double* z, std::size_t n) {
    double far = 0.0;
    for (std::size_t j = 0; j < n; ++j) {
        const Pair moved = two_sum(z[j], -x[j]);
        double size = std::fabs(moved.high);
        // what the subtraction lost lies beyond it
        if (moved.low != 0.0 && (moved.low > 0.0) == (moved.high > 0.0)) size = std::nextafter(size, INFINITE);
        far = std::max(far, size);
    }
    return far;
}

Support SupportFunction::operator()(const double* g, double r, Box box) {
    fold(g, box);
    return filled(r);
}

double SupportFunction::magnitude(const double* w, double r, Box box) {
    size_.resize(box.n);
    room_.resize(box.n);
    price_ = INFINITE;
    loops::fold_both(w, box.low, box.high, size_.data(), room_.data(), box.n);
    return filled(r).value;
}

double SupportFunction::box_value(const double* g, Box box) {
    fold(g, box);
    return loops::capped(size_.data(), room_.data(), INFINITE, box.n).first;
}

double SupportFunction::box_magnitude(const double* g, Box box) {
    size_.resize(box.n);
    room_.resize(box.n);
    loops::fold_both(g, box.low, box.high, size_.data(), room_.data(), box.n);
    return loops::capped(size_.data(), room_.data(), INFINITE, box.n).first;
}

void SupportFunction::fold(const double* g, Box box) {
    size_.resize(box.n);
    room_.resize(box.n);
    price_ = INFINITE;
    loops::fold(g, box.low, box.high, size_.data(), room_.data(), box.n);
}

Support SupportFunction::filled(double r) {
    switch (norm_) {
        case Norm::INF: return filled_inf(r);
        case Norm::ONE: return filled_one(r);
        default: return filled_two(r);
    }
}

Support SupportFunction::filled_inf(double r) const {
    const loops::Pair found = loops::capped(size_.data(), room_.data(), r, size_.size());
    return {found.first, found.second};
}

void SupportFunction::heap_by_size() {
    heap_.resize(size_.size());
    for (std::size_t j = 0; j < heap_.size(); ++j) heap_[j] = j;
    std::make_heap(heap_.begin(), heap_.end(), [this](std::size_t a, std::size_t b) { return is_smaller(a, b); });
}

// The feature with the largest size, which leaves the heap: the first of equal ones.
std::size_t SupportFunction::next_by_size(std::size_t& left) {
    const auto end = heap_.begin() + static_cast<std::ptrdiff_t>(left--);
    std::pop_heap(heap_.begin(), end, [this](std::size_t a, std::size_t b) { return is_smaller(a, b); });
    return heap_[left];
}

// Features with the largest |g_j| are filled up first; the price is the size of the first that has room left.
Support SupportFunction::filled_one(double r) {
    const std::size_t n = size_.size();
    if (n == 0) return {0.0, 0.0};
    if (r == 0.0) {
        double slope = 0.0;
        for (std::size_t j = 0; j < n; ++j)
            if (room_[j] > 0.0) slope = std::max(slope, size_[j]);
        return {0.0, slope};
    }
    const auto best = static_cast<std::size_t>(std::max_element(size_.begin(), size_.end()) - size_.begin());
    // most often the best feature has room for all
    if (room_[best] > r) return {size_[best] * r, size_[best]};
    heap_by_size();
    double price = 0.0, left = r;
    std::size_t count = n;
    while (count > 0) {
        const std::size_t j = next_by_size(count);
        if (room_[j] > left) {
            price = size_[j];
            break;
        }
        left -= room_[j];
    }
    // all with a size above the price were taken from the heap
    double total = price * r;
    for (std::size_t k = count; k < n; ++k)
        if (size_[heap_[k]] > price) total += (size_[heap_[k]] - price) * room_[heap_[k]];
    return {total, price};
}

// The price λ with Σ min(room_j, size_j / λ)² = r², from above: with the price the features that are full become more.
Support SupportFunction::filled_two(double r) {
    const std::size_t n = size_.size();
    double price = price_, full_before = -1.0;
    for (std::size_t turn = 0; turn <= n; ++turn) {
        double full;
        const loops::Pair found = loops::water(size_.data(), room_.data(), price, n, full);
        if (r == 0.0) return {0.0, std::sqrt(found.first)};
        if (full == full_before) break;
        full_before = full;
        const double rest = r * r - found.second;
        if (!(found.first > 0.0) || !(rest > 0.0)) {
            price = 0.0;
            break;
        }
        price = std::sqrt(found.first / rest);
    }
    price_ = price > 0.0 ? price : INFINITE;
    // r may be infinite: then so is what a price would cost, and there is none
    if (!(price > 0.0) || price == INFINITE) return {loops::product(size_.data(), room_.data(), n), 0.0};
    return {0.5 * price * r * r + loops::water_value(size_.data(), room_.data(), price, n), price * r};
}

double SupportFunction::root_one(double need) {
    heap_by_size();
    double r = 0.0, missing = need;
    for (std::size_t count = heap_.size(); count > 0;) {
        const std::size_t j = next_by_size(count);
        if (size_[j] == 0.0) break;
        if (room_[j] == 0.0) continue;
        if (size_[j] * room_[j] >= missing) return r + missing / size_[j];
        missing -= size_[j] * room_[j];
        r += room_[j];
        if (missing <= CLOSE * need) return r;
    }
    return INFINITE;
}

double SupportFunction::smallest_radius(const double* g, double need, Box box) {
    if (!(need > 0.0)) return 0.0;
    fold(g, box);
    if (norm_ == Norm::ONE) return root_one(need);
    double r = 0.0;
    // h is concave in r: Newton's method rises to the root and, where h is piecewise linear, ends there
    for (int k = 0; k < MOST_STEPS; ++k) {
        const Support found = filled(r);
        const double missing = need - found.value;
        if (missing <= CLOSE * need) return r;
        if (!(found.slope > 0.0)) return INFINITE;
        const double step = missing / found.slope;
        if (!(r + step > r)) return r;
        r += step;
    }
    return r;
}

double SupportFunction::distance(const HalfSpaces& rows, const double* factors, Box box) {
    double need = 0.0;
    for (std::size_t i = 0; i < rows.k; ++i) need -= factors[i] * rows.alpha[i];
    combined_.resize(rows.n);
    combine(rows, factors, combined_.data());
    return smallest_radius(combined_.data(), need, box);
}

// Rounding errors: entries of W are off by a unit in the last place or two, low and high are rounded outwards. A sum of
// k products, in any order, is off by at most γ(k) times the sum of the sizes of its terms (Higham, section 4.2). That
// makes the combination g wrong by less than γ(k + 2) Σ f_i |W_ij| in entry j, hence h by γ(k + 2) Σ f_i magnitude_i;
// h itself is a sum of n terms that are not negative, each of fewer than 8 roundings (a difference among them is at
// least half of what is subtracted from), the constant one of k. All together this is at most
// (n + k + 20) UNIT (size + value) to first order, which is taken twice, so that `size` and `value` may be rounded, too.
bool SupportFunction::excludes(const HalfSpaces& rows, const double* factors, double r, Box box) {
    combined_.resize(rows.n);
    combine(rows, factors, combined_.data());
    if (!loops::finite(combined_.data(), rows.n)) return false;
    const double value = (*this)(combined_.data(), r, box).value;
    double constant = 0.0, noise = 0.0, size = 0.0;
    for (std::size_t i = 0; i < rows.k; ++i) {
        if (factors[i] > 0.0) {
            constant += factors[i] * rows.alpha[i];
            noise += factors[i] * rows.error[i];
            size += factors[i] * (std::fabs(rows.alpha[i]) + magnitude(rows.row(i), r, box));
        } else if (!(factors[i] == 0.0)) {
            return false;
        }
    }
    const auto count = static_cast<double>(rows.n + rows.k + 20);
    return constant + value + 1.01 * noise + 2.0 * count * UNIT * (size + value) + UNDERFLOWS < 0.0;
}

double SupportFunction::widest(Box box) const {
    double r = 0.0;
    for (std::size_t j = 0; j < box.n; ++j) {
        const double far = std::max(-box.low[j], box.high[j]);
        if (far == INFINITE) continue;
        r = norm_ == Norm::ONE ? r + far : norm_ == Norm::INF ? std::max(r, far) : std::sqrt(r * r + far * far);
    }
    return r;
}

double SupportFunction::proven_radius(const HalfSpaces& rows, const double* factors, Box box) {
    const double r = distance(rows, factors, box);
    if (!(r > 0.0)) return 0.0;
    if (r == INFINITE) {
        // beyond the largest room nothing grows any more
        return excludes(rows, factors, 2.0 * widest(box) + 1.0, box) ? INFINITE : 0.0;
    }
    double shrink = 4.0 * UNIT;
    for (int k = 0; k < MOST_SHRINKS; ++k) {
        const double at = r * (1.0 - shrink);
        if (excludes(rows, factors, at, box)) return at;
        shrink *= 4.0;
    }
    return 0.0;
}

}  // namespace bdnn::certify
