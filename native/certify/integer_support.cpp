#include "certify/integer_support.hpp"

#include <algorithm>

#include "certify/exact_numerics.hpp"

namespace bdnn::certify {

namespace {

constexpr double EMPTY = 1e30;    // below minus this is what an empty set has
constexpr int MOST_TURNS = 60;    // prices tried: any of them gives a bound, some ten the best
constexpr double GROWTH = 8.0;    // of prices until the budget is enough
constexpr double NEAR = 1e-9;     // steps that are integers but for rounding
constexpr double SMALL = 1e-300;  // keeps divisors away from 0

double sign(double a) { return static_cast<double>(a > 0.0) - static_cast<double>(a < 0.0); }

}  // namespace

double IntegerSupportFunction::cost_of(const Column& column, double t) const {
    if (t == 0.0) return 0.0;
    const double c = column.whole ? column.first + column.more * (t - 1.0) : column.more * t;
    return norm_ == Norm::ONE ? c : 0.5 * c * c;
}

// Columns without a pull stay as near to 0 as their bounds allow; the others are folded.
void IntegerSupportFunction::fold(const double* g, Box box, const StepCosts& cost) {
    columns_.clear();
    fixed_spent_ = 0.0;
    for (std::size_t j = 0; j < box.n; ++j) {
        const double nearest = std::min(std::max(0.0, box.low[j]), box.high[j]);
        const double start_cost = cost(norm_, j, nearest);
        if (g[j] == 0.0) {
            fixed_spent_ += start_cost;
            continue;
        }
        const bool up = g[j] > 0.0, whole = cost.whole[j];
        const double side = up ? 1.0 : -1.0;
        const double low = up ? box.low[j] : -box.high[j], high = up ? box.high[j] : -box.low[j];
        columns_.push_back({std::fabs(g[j]), std::max(low, whole ? 1.0 : 0.0), high, side * nearest, start_cost,
                            cost.more(j), cost.first(j, up), whole});
    }
}

// Where g t - λ φ(t) is largest among t >= near, up to rounding.
double IntegerSupportFunction::best_step(const Column& column, double price) const {
    if (norm_ == Norm::ONE) return column.g < price * column.more ? column.near : column.far;
    const double pull = price * column.more * column.more;
    if (!(pull > 0.0)) return column.far;
    const double top = column.g / pull;
    return column.whole ? rounded(1.0 + top - column.first / column.more) : top;
}

IntegerSupportFunction::Priced IntegerSupportFunction::priced(double price) const {
    Priced sums{0.0, fixed_spent_, price * fixed_spent_};
    sums.total = -sums.size;
    for (const Column& column : columns_) {
        double t = column.start, phi = column.start_cost, value = column.g * t - price * phi;
        if (column.near <= column.far) {
            const auto try_step = [&](double step) {
                const double kept = std::min(std::max(step, column.near), column.far), at = cost_of(column, kept);
                const double gain = price > 0.0 ? column.g * kept - price * at : column.g * kept;
                if (!(gain <= value)) {  // what is no number, of steps without end, spoils the bound
                    t = kept;
                    phi = at;
                    value = gain;
                }
            };
            const double top = best_step(column, price);
            // one more on both sides, in case that the best place was rounded
            if (column.whole) try_step(top - 1.0);
            try_step(top);
            if (column.whole) try_step(top + 1.0);
        }
        sums.total += value;
        sums.spent += phi;
        sums.size += std::fabs(column.g * t) + (price > 0.0 ? price * phi : 0.0);
    }
    return sums;
}

// The bound as a function of the price, which is convex, and what it proves.
IntegerSupportFunction::Tangent IntegerSupportFunction::tangent(double price) {
    const Priced sums = priced(price);
    const double value = sums.total + price * budget_;
    blur_ = noise_ * (sums.size + price * budget_);
    best_ = std::min(best_, value + blur_);
    return {price, value, budget_ - sums.spent};
}

// Rounding errors: each term has fewer than 8 roundings of numbers whose sizes are summed in `size`, and a sum of n
// terms adds γ(n) times the sum of their sizes (Higham, section 4.2): 8 (n + 20) UNIT (size + λ B) is more than both.
double IntegerSupportFunction::operator()(const double* g, double r, Box box, const StepCosts& cost) {
    fold(g, box, cost);
    budget_ = norm_ == Norm::ONE ? r : 0.5 * r * r;
    noise_ = 8.0 * (static_cast<double>(box.n) + 20.0) * UNIT;
    const Priced free = priced(0.0);
    best_ = free.total + noise_ * free.size;
    if (free.size == 0.0 && free.spent * (1.0 - noise_) > budget_) return -EMPTY;
    const Tangent left{0.0, free.total, budget_ - free.spent};
    if (left.slope >= 0.0 || free.size == 0.0) return best_;
    return minimum(left, {free.size / std::max(budget_, SMALL), 0.0, 0.0});
}

// Tangents meet where the bound is about least.
double IntegerSupportFunction::minimum(Tangent left, Tangent right) {
    for (int turn = 0; turn < MOST_TURNS; ++turn) {
        const Tangent found = tangent(right.price);
        if (found.slope >= 0.0 || turn + 1 == MOST_TURNS) {
            right = found;
            break;
        }
        left = found;
        right.price *= GROWTH;
    }
    for (int turn = 0; turn < MOST_TURNS && right.slope > 0.0; ++turn) {
        double price = (right.value - left.value + left.slope * left.price - right.slope * right.price) /
                       (left.slope - right.slope);
        const double line = left.value + left.slope * (price - left.price);
        if (turn % 3 == 2) price = 0.5 * (left.price + right.price);
        if (!(left.price < price && price < right.price)) break;
        const Tangent found = tangent(price);
        if (found.slope == 0.0 || best_ - line <= 2.0 * blur_) break;
        (found.slope < 0.0 ? left : right) = found;
    }
    return best_;
}

void IntegerSupportFunction::ascent(
    const double* x, const double* pull, std::size_t n, const StepCosts& cost, double* g) const {
    for (std::size_t j = 0; j < n; ++j) {
        if (!cost.whole[j]) {
            const double side = std::fabs(x[j]) > NEAR ? sign(x[j]) : sign(pull[j]);
            g[j] = norm_ == Norm::ONE ? side * cost.more(j) : cost.more(j) * cost.more(j) * x[j];
            continue;
        }
        const double t = rounded(x[j]);
        if (std::fabs(x[j] - t) > NEAR) {
            const double down = t > x[j] ? t - 1.0 : t;
            g[j] = cost(norm_, j, down + 1.0) - cost(norm_, j, down);
        } else if (t == 0.0) {
            const double side = sign(pull[j]);
            g[j] = side * cost(norm_, j, side);
        } else {
            g[j] = 0.5 * (cost(norm_, j, t + 1.0) - cost(norm_, j, t - 1.0));
        }
    }
}

}  // namespace bdnn::certify
