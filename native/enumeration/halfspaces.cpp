#include "enumeration/halfspaces.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "numerics.hpp"

namespace bdnn::enumeration {

namespace {

// bits of coordinates up to which differences (two inputs), two-by-two (three) and three-by-three determinants (four)
// are exact in doubles
constexpr int EXACT_BITS[MOST_INPUTS + 1] = {0, 0, 51, 25, 15};
// error bounds of forms for coordinates up to 1 and pivots that differ by up to 1: some ten roundings, with room
constexpr double FORM_ERROR_3 = 0x1p-47, FORM_ERROR_4 = 0x1p-44, MINOR_ERROR = 0x1p-49;
// what underflow may add
constexpr double UNDERFLOW_ERROR = 1e-290;
// values of forms below this multiple of their error bound are computed exactly, so that angles are known well
constexpr double DOUBTFUL = 0x1p30;
// points of a bucket, on average, and points below which there are no buckets: best of 2, 3, 4, 8 and 16, 32, 64
constexpr Index POINTS_OF_BUCKET = 2, FEWEST_POINTS = 32;
// keys are from -1 to 1; buckets begin where frequent angles do not lie
constexpr double KEY_SHIFT = 1.0371828, KEY_RANGE = 2.08;

// Exponent of the last digit of a double that is not 0.
int last_digit(double x) {
    int exponent = 0;
    const auto digits = static_cast<std::uint64_t>(std::ldexp(std::frexp(std::fabs(x), &exponent), 53));
    return exponent - 53 + std::countr_zero(digits);
}

// The same column with absolute values up to 1 and small integers, as far as that is possible without rounding.
std::pair<std::vector<double>, int> compact(const double* x, Index points) {
    std::vector<double> values(x, x + points);
    double largest = 0.0;
    for (double v : values) largest = std::max(largest, std::fabs(v));
    if (largest == 0.0) return {values, 0};
    const int scale = std::ilogb(largest) + 2;
    for (double& v : values) {
        const double scaled = std::ldexp(v, -scale);
        if (std::ldexp(scaled, scale) != v) return {values, -Coordinates::MOST_BITS - 1};  // it was too small
        v = scaled;
    }
    std::vector<double> moved = values;
    const double origin = *std::min_element(values.begin(), values.end());
    bool exact = true;
    for (double& v : moved) {
        const Pair difference = two_sum(v, -origin);
        exact = exact && difference.low == 0.0;
        v = difference.high;
    }
    if (exact) values = std::move(moved);
    int unit = 0;
    for (double v : values)
        if (v != 0.0) unit = std::min(unit, last_digit(v));
    if (exact && unit >= -53) {
        std::int64_t divisor = 0;
        for (double v : values) divisor = std::gcd(divisor, static_cast<std::int64_t>(std::ldexp(v, -unit)));
        if (divisor > 0) {
            std::int64_t most = 1;
            for (double& v : values) {
                const auto whole = static_cast<std::int64_t>(std::ldexp(v, -unit)) / divisor;
                most = std::max(most, whole);
                v = static_cast<double>(whole);
            }
            unit = -static_cast<int>(std::bit_width(static_cast<std::uint64_t>(most)));
            for (double& v : values) v = std::ldexp(v, unit);
        }
    }
    return {values, unit};
}

}  // namespace

bool Coordinates::too_wide() const {
    return std::any_of(unit.begin(), unit.end(), [](int u) { return u < -MOST_BITS; });
}

Coordinates coordinates(int inputs, Index points, const double* X) {
    Coordinates result;
    for (int k = 0; k < inputs; ++k) {
        auto [values, unit] = compact(X + k * points, points);
        result.values.push_back(std::move(values));
        result.unit.push_back(unit);
    }
    return result;
}

Halfspaces::Halfspaces(const Coordinates& data, std::vector<int> inputs, Poll& poll)
    : data_(data), inputs_(std::move(inputs)), poll_(poll) {
    int bits = 0;
    for (int k : inputs_) bits = std::max(bits, -data_.unit[k]);
    exact_ = bits <= EXACT_BITS[dimension()];
}

bool Halfspaces::search(const std::vector<Index>& points, const double* gain, double& least) {
    points_ = &points;
    gain_ = gain;
    const Index m = count();
    for (int k = 0; k < dimension(); ++k) {
        x_[k].resize(m);
        for (Index i = 0; i < m; ++i) x_[k][i] = data_.values[inputs_[k]][points[i]];
        x_at_[k] = x_[k].data();
    }
    const double before = least;
    // all of them or none: what a hyperplane beyond all points does
    total_ = std::accumulate(gain, gain + m, 0.0);
    if (std::min(total_, 0.0) < least) {
        least = std::min(total_, 0.0);
        inside_.assign(m, total_ < 0.0);
    }
    if (dimension() == 1) search_line(least);
    else search_pencils(least);
    return least < before;
}

void Halfspaces::search_line(double& least) {
    const Index m = count();
    order_.resize(m);
    std::iota(order_.begin(), order_.end(), Index{0});
    std::sort(order_.begin(), order_.end(), [&](Index i, Index j) { return x_[0][i] < x_[0][j]; });
    double sum = 0.0;
    Index end = 0;
    bool upper = false;
    for (Index k = 0; k + 1 < m; ++k) {
        sum += gain_[order_[k]];
        if (x_[0][order_[k]] == x_[0][order_[k + 1]]) continue;
        if (std::min(sum, total_ - sum) < least) {
            least = std::min(sum, total_ - sum);
            end = k + 1;
            upper = total_ - sum < sum;
        }
    }
    poll_.spent(static_cast<std::size_t>(20 * m));
    if (end == 0) return;
    inside_.assign(m, upper);
    for (Index k = 0; k < end; ++k) inside_[order_[k]] = !upper;
}

void Halfspaces::search_pencils(double& least) {
    const Index m = count();
    const int n = dimension();
    buckets_ = m < FEWEST_POINTS ? 1 : std::max<Index>(1, m / POINTS_OF_BUCKET);
    for (auto* each : {&a_, &b_, &key_, &turned_, &doubt_}) each->resize(m);
    error_.assign(m, 0.0);
    bucket_.resize(m);
    sums_.resize(2 * buckets_);
    Pencil pencil;
    for (Index p = 0; p + n <= m && !poll_.stopped(); ++p) {
        pencil.pivot[0] = p;
        if (n == 2) {
            if (prepare(pencil)) look(pencil, least);
            continue;
        }
        for (Index q = p + 1; q + n - 1 <= m && !poll_.stopped(); ++q) {
            pencil.pivot[1] = q;
            if (n == 3) {
                if (prepare(pencil)) look(pencil, least);
                continue;
            }
            // points in line with both: they determine nothing more, and those before q make q no first point
            in_line_.assign(m, 0);
            bool first = true;
            for (Index i = 0; i < m && first; ++i) {
                in_line_[i] = in_line(p, q, i);
                first = !in_line_[i] || i >= q || i == p;
            }
            poll_.spent(static_cast<std::size_t>(5 * m));
            for (Index r = q + 1; first && r + 1 < m && !poll_.stopped(); ++r) {
                if (in_line_[r]) continue;
                pencil.pivot[2] = r;
                if (prepare(pencil)) look(pencil, least);
            }
        }
    }
}

WideInteger Halfspaces::difference(Index i, Index j, int k) const {
    const int unit = data_.unit[inputs_[k]];
    return WideInteger::of(x_[k][i], unit) - WideInteger::of(x_[k][j], unit);
}

// Whether r is in line with p and q, exactly: all minors of their differences are 0.
bool Halfspaces::in_line(Index p, Index q, Index r) const {
    for (int i = 0; i < dimension(); ++i)
        for (int j = 0; j < i; ++j) {
            const double u = (x_[i][q] - x_[i][p]) * (x_[j][r] - x_[j][p]);
            const double v = (x_[j][q] - x_[j][p]) * (x_[i][r] - x_[i][p]);
            if (exact_) {
                if (u != v) return false;
            } else if (std::fabs(u - v) > MINOR_ERROR * (std::fabs(u) + std::fabs(v)) + UNDERFLOW_ERROR ||
                       (difference(q, p, i) * difference(r, p, j) - difference(q, p, j) * difference(r, p, i)).sign()) {
                return false;
            }
        }
    return true;
}

// Make the forms of a pencil; false if its pivots are dependent.
bool Halfspaces::prepare(Pencil& pencil) const {
    std::fill(pencil.first, pencil.first + MOST_INPUTS, 0.0);
    std::fill(pencil.second, pencil.second + MOST_INPUTS, 0.0);
    pencil.has_exact = false;
    if (dimension() == 3) return prepare_three(pencil);
    if (dimension() == 4) return prepare_four(pencil);
    pencil.in_first = 0;
    pencil.in_second = 1;
    pencil.first[0] = pencil.second[1] = 1.0;
    pencil.error = 0.0;  // differences have the right signs
    return true;
}

// Determinants with the direction u from pivot to pivot: d_i u_k - d_k u_i and d_j u_k - d_k u_j.
bool Halfspaces::prepare_three(Pencil& pencil) const {
    double u[3], largest = 0.0;
    int k = 0;
    for (int c = 0; c < 3; ++c) {
        u[c] = x_[c][pencil.pivot[1]] - x_[c][pencil.pivot[0]];
        if (std::fabs(u[c]) > largest) {
            largest = std::fabs(u[c]);
            k = c;
        }
    }
    if (largest == 0.0) return false;
    const int i = k == 0 ? 1 : 0, j = k == 2 ? 1 : 2;
    pencil.in_first = i;
    pencil.in_second = j;
    pencil.shared[0] = k;
    pencil.first[i] = pencil.second[j] = u[k];
    pencil.first[k] = -u[i];
    pencil.second[k] = -u[j];
    pencil.error = exact_ ? 0.0 : FORM_ERROR_3 * largest + UNDERFLOW_ERROR;
    return true;
}

// The same with two directions: coordinates k and l have the largest minor of them.
bool Halfspaces::prepare_four(Pencil& pencil) const {
    double u[4], v[4], minor[4][4] = {}, u_most = 0.0, v_most = 0.0;
    for (int c = 0; c < 4; ++c) {
        u[c] = x_[c][pencil.pivot[1]] - x_[c][pencil.pivot[0]];
        v[c] = x_[c][pencil.pivot[2]] - x_[c][pencil.pivot[0]];
        u_most = std::max(u_most, std::fabs(u[c]));
        v_most = std::max(v_most, std::fabs(v[c]));
    }
    int k = 0, l = 1;
    for (int c = 0; c < 4; ++c)
        for (int d = c + 1; d < 4; ++d) {
            minor[c][d] = u[c] * v[d] - u[d] * v[c];
            minor[d][c] = -minor[c][d];
            if (std::fabs(minor[c][d]) > std::fabs(minor[k][l])) {
                k = c;
                l = d;
            }
        }
    const auto size = u_most * v_most;
    if (!exact_ && !(std::fabs(minor[k][l]) > MINOR_ERROR * size + UNDERFLOW_ERROR)) {
        // not even the sign is sure: take any that is not 0 in truth
        bool found = false;
        for (int c = 0; c < 4 && !found; ++c)
            for (int d = c + 1; d < 4 && !found; ++d) {
                const auto [p, q, r] = pencil.pivot;
                if ((difference(q, p, c) * difference(r, p, d) - difference(q, p, d) * difference(r, p, c)).sign()) {
                    k = c;
                    l = d;
                    found = true;
                }
            }
        if (!found) return false;
    } else if (minor[k][l] == 0.0) {
        return false;
    }
    int others[2], n = 0;
    for (int c = 0; c < 4; ++c)
        if (c != k && c != l) others[n++] = c;
    const auto [i, j] = others;
    pencil.in_first = i;
    pencil.in_second = j;
    pencil.shared[0] = k;
    pencil.shared[1] = l;
    pencil.first[i] = pencil.second[j] = minor[k][l];
    pencil.first[k] = -minor[i][l];
    pencil.first[l] = minor[i][k];
    pencil.second[k] = -minor[j][l];
    pencil.second[l] = minor[j][k];
    pencil.error = exact_ ? 0.0 : FORM_ERROR_4 * size + UNDERFLOW_ERROR;
    return true;
}

// Coefficients in wide integers: of the own coordinate and of the shared ones, of both forms.
void Halfspaces::make_exact(Pencil& pencil) const {
    if (pencil.has_exact) return;
    pencil.has_exact = true;
    const Index p = pencil.pivot[0], q = pencil.pivot[1], r = pencil.pivot[2];
    for (int form = 0; form < 2 && dimension() > 2; ++form) {
        const int i = form ? pencil.in_second : pencil.in_first, k = pencil.shared[0], l = pencil.shared[1];
        WideInteger* c = pencil.wide[form];
        if (dimension() == 3) {
            c[0] = difference(q, p, k);
            c[1] = -difference(q, p, i);
            continue;
        }
        const auto minor = [&](int s, int t) {
            return difference(q, p, s) * difference(r, p, t) - difference(q, p, t) * difference(r, p, s);
        };
        c[0] = minor(k, l);
        c[1] = -minor(i, l);
        c[2] = minor(i, k);
    }
}

// The value of a form at a point, in units of `unit_of`.
WideInteger Halfspaces::exact_form(const Pencil& pencil, Index i, bool second) const {
    const Index p = pencil.pivot[0];
    WideInteger value = difference(i, p, second ? pencil.in_second : pencil.in_first);
    if (dimension() == 2) return value;
    const WideInteger* c = pencil.wide[second];
    value = value * c[0] + difference(i, p, pencil.shared[0]) * c[1];
    return dimension() == 3 ? value : value + difference(i, p, pencil.shared[1]) * c[2];
}

int Halfspaces::unit_of(const Pencil& pencil, bool second) const {
    int unit = data_.unit[inputs_[second ? pencil.in_second : pencil.in_first]];
    for (int k = 0; k < dimension() - 2; ++k) unit += data_.unit[inputs_[pencil.shared[k]]];
    return unit;
}

// Compute exactly what is too near 0 for its error bound.
void Halfspaces::correct(Pencil& pencil) {
    const double error = pencil.error, doubtful = DOUBTFUL * error;
    for (Index i = 0; i < count(); ++i) {
        error_[i] = error;
        if (std::fabs(b_[i]) > error && std::fabs(a_[i]) + std::fabs(b_[i]) > doubtful) continue;
        if (std::find(pencil.pivot, pencil.pivot + dimension() - 1, i) != pencil.pivot + dimension() - 1) {
            error_[i] = 0.0;
            continue;
        }
        make_exact(pencil);
        a_[i] = exact_form(pencil, i, false).value(unit_of(pencil, false));
        b_[i] = exact_form(pencil, i, true).value(unit_of(pencil, true));
        error_[i] = 0.0;
        poll_.spent(500);
    }
}

// Whether the angle of one point is less than (1) or greater than (-1) that of another, or the same (0), exactly.
int Halfspaces::ordered(Pencil& pencil, Index i, Index j) const {
    const auto reversed = [&](Index k) { return b_[k] < 0.0 || (b_[k] == 0.0 && a_[k] < 0.0); };
    int sign;
    if (exact_) {
        const Pair x = two_product(a_[i], b_[j]), y = two_product(a_[j], b_[i]);
        const double high = x.high - y.high, low = x.low - y.low;
        sign = high > 0.0 ? 1 : high < 0.0 ? -1 : low > 0.0 ? 1 : low < 0.0 ? -1 : 0;
    } else {
        make_exact(pencil);
        sign = (exact_form(pencil, i, false) * exact_form(pencil, j, true) -
                exact_form(pencil, j, false) * exact_form(pencil, i, true))
                   .sign();
    }
    return reversed(i) != reversed(j) ? -sign : sign;
}

// Look at all hyperplanes of a pencil.
void Halfspaces::look(Pencil& pencil, double& least) {
    const Index m = count();
    double origin[MOST_INPUTS] = {};
    for (int k = 0; k < dimension(); ++k) origin[k] = x_[k][pencil.pivot[0]];
    loops::forms(dimension(), m, x_at_, origin, pencil.first, pencil.second, a_.data(), b_.data());
    for (int k = 0; k + 1 < dimension(); ++k) a_[pencil.pivot[k]] = b_[pencil.pivot[k]] = 0.0;
    if (pencil.error > 0.0) correct(pencil);
    const double scale = static_cast<double>(buckets_) / KEY_RANGE;
    const loops::Sums sums =
        loops::keys(m, {a_.data(), b_.data(), error_.data(), gain_, KEY_SHIFT, scale, key_.data(), turned_.data(),
                        doubt_.data(), bucket_.data()});
    one_bucket_ = sums.unsure;
    poll_.spent(static_cast<std::size_t>(8 * m));
    if (sums.flat + 1 > dimension()) {
        if (!find_flat(pencil)) return;
    } else {
        flat_.assign(pencil.pivot, pencil.pivot + dimension() - 1);
    }
    flat_gain_ = 0.0;
    rest_ = total_;
    for (Index i : flat_) {
        flat_gain_ += std::min(gain_[i], 0.0);
        rest_ -= gain_[i];
    }
    const Index buckets = one_bucket_ ? 1 : buckets_;
    std::fill_n(sums_.data(), 2 * buckets, 0.0);
    if (one_bucket_) {
        for (double c : turned_) sums_[c > 0.0] += c;
    } else {
        for (Index i = 0; i < m; ++i) sums_[2 * bucket_[i] + (turned_[i] > 0.0)] += turned_[i];
    }
    // what is on the positive side: at angle 0 what was not reversed; all points that are passed change sides
    double change = 0.0;
    for (Index k = 0; k < 2 * buckets; ++k) change += sums_[k];
    double now = 0.5 * (rest_ + change);
    sorted_ = false;
    for (Index k = 0; k < buckets; ++k) {
        const double down = sums_[2 * k], up = sums_[2 * k + 1];
        if (std::min(now - up, rest_ - now + down) + flat_gain_ < least)
            look_closely(pencil, static_cast<std::int32_t>(k), now, least);
        now -= down + up;
    }
}

// Collect the points that lie on all hyperplanes of a pencil; false if its pivots are not the first that span them.
bool Halfspaces::find_flat(const Pencil& pencil) {
    flat_.clear();
    const int n = dimension();
    const Index last = pencil.pivot[n - 2];
    for (Index i = 0; i < count(); ++i) {
        if (a_[i] != 0.0 || b_[i] != 0.0) continue;
        flat_.push_back(i);
        if (i >= last || std::find(pencil.pivot, pencil.pivot + n - 1, i) != pencil.pivot + n - 1) continue;
        // among the first points only those that depend on the ones before may be left out
        if (n < 4 || i < pencil.pivot[1] || !in_line_[i]) return false;
    }
    return true;
}

void Halfspaces::look_closely(Pencil& pencil, std::int32_t bucket, double before, double& least) {
    const Index m = count(), buckets = one_bucket_ ? 1 : buckets_;
    if (!sorted_) {  // by bucket
        sorted_ = true;
        begin_.assign(buckets + 1, 0);
        order_.resize(m);
        const auto bucket_of = [&](Index i) { return one_bucket_ ? 0 : bucket_[i]; };
        const auto is_flat = [&](Index i) { return a_[i] == 0.0 && b_[i] == 0.0; };
        for (Index i = 0; i < m; ++i)
            if (!is_flat(i)) ++begin_[bucket_of(i) + 1];
        std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
        local_.assign(begin_.begin(), begin_.end() - 1);
        for (Index i = 0; i < m; ++i)
            if (!is_flat(i)) order_[local_[bucket_of(i)]++] = i;
        poll_.spent(static_cast<std::size_t>(4 * m));
    }
    const Index begin = begin_[bucket], end = begin_[bucket + 1];
    if (begin == end) return;
    Index* order = order_.data();
    std::sort(order + begin, order + end, [&](Index i, Index j) { return key_[i] < key_[j]; });
    // least keys that the points from each on may have in truth
    left_.resize(end - begin + 1);
    left_[end - begin] = std::numeric_limits<double>::infinity();
    for (Index k = end - 1; k >= begin; --k)
        left_[k - begin] = std::min(left_[k - begin + 1], key_[order[k]] - doubt_[order[k]]);
    poll_.spent(static_cast<std::size_t>(20 * (end - begin)));
    double now = before;
    for (Index k = begin; k < end;) {
        // points whose order is not sure
        Index next = k;
        double right = -std::numeric_limits<double>::infinity(), up = 0.0, down = 0.0;
        do {
            const Index i = order[next++];
            right = std::max(right, key_[i] + doubt_[i]);
            (turned_[i] > 0.0 ? up : down) += turned_[i];
        } while (next < end && left_[next - begin] <= right);
        if (std::min(now - up, rest_ - now + down) + flat_gain_ < least) {
            if (next - k > 1)
                std::sort(order + k, order + next, [&](Index i, Index j) {
                    const int sign = ordered(pencil, i, j);
                    return sign != 0 ? sign > 0 : i < j;
                });
            double at = now;
            for (Index first = k; first < next;) {
                Index past = first + 1;
                while (past < next && ordered(pencil, order[first], order[past]) == 0) ++past;
                look_at_group(pencil, first, past, at, least);
                for (; first < past; ++first) at -= turned_[order[first]];
            }
            poll_.spent(static_cast<std::size_t>((next - k) * (exact_ ? 20 : 2000)));
        }
        now -= up + down;
        k = next;
    }
}

// A hyperplane: the flat and the points order_[begin..end), `before` what is on the positive side just before it.
void Halfspaces::look_at_group(Pencil& pencil, Index begin, Index end, double before, double& least) {
    double up = 0.0, down = 0.0, group = 0.0, inside = 0.0;
    Index first = order_[begin];
    for (Index k = begin; k < end; ++k) {
        const Index i = order_[k];
        first = std::min(first, i);
        group += gain_[i];
        (turned_[i] > 0.0 ? up : down) += turned_[i];
        if ((turned_[i] > 0.0) == (gain_[i] > 0.0)) inside += gain_[i];
    }
    const double plus = before - up + flat_gain_, minus = rest_ - before + down + flat_gain_;
    if (std::min(plus, minus) >= least) return;
    if (first < pencil.pivot[dimension() - 2]) return;  // seen in another pencil
    const bool positive = plus <= minus;
    if (static_cast<Index>(flat_.size()) + end - begin == dimension()) {
        least = std::min(plus, minus);
        take(begin, end, positive, nullptr);
        return;
    }
    // what is off the hyperplane on its positive side: before it, without the points of the group that were there
    const double off = before - inside, other = rest_ - group - off;
    on_.assign(flat_.begin(), flat_.end());
    on_.insert(on_.end(), order_.begin() + begin, order_.begin() + end);
    std::sort(on_.begin(), on_.end());
    gain_on_.clear();
    local_.clear();
    for (Index i : on_) {
        gain_on_.push_back(gain_[i]);
        local_.push_back((*points_)[i]);
    }
    // a coordinate in which the hyperplane is not constant along its normal: the others tell its points apart
    const int dropped = a_[order_[begin]] != 0.0 ? pencil.in_second : pencil.in_first;
    std::unique_ptr<Halfspaces>& lower = lower_[dropped];
    if (!lower) {
        std::vector<int> inputs = inputs_;
        inputs.erase(inputs.begin() + dropped);
        lower = std::make_unique<Halfspaces>(data_, inputs, poll_);
    }
    double target = least - std::min(off, other);
    if (!lower->search(local_, gain_on_.data(), target)) return;
    least = target + std::min(off, other);
    take(begin, end, off <= other, lower.get());
}

// Note which points are inside: on one side of a hyperplane, and of those on it what `on` says, or what helps.
void Halfspaces::take(Index begin, Index end, bool positive, const Halfspaces* on) {
    const Index m = count();
    inside_.assign(m, 0);
    for (Index k = 0; k < static_cast<Index>(order_.size()); ++k) {
        const Index i = order_[k];
        if (k >= begin_.back()) break;
        const bool reversed = b_[i] < 0.0 || (b_[i] == 0.0 && a_[i] < 0.0);
        inside_[i] = (reversed == (k < begin)) == positive;
    }
    if (on) {
        for (std::size_t k = 0; k < on_.size(); ++k) inside_[on_[k]] = on->inside()[k];
        return;
    }
    for (Index i : flat_) inside_[i] = gain_[i] < 0.0;
    for (Index k = begin; k < end; ++k) inside_[order_[k]] = gain_[order_[k]] < 0.0;
}

}  // namespace bdnn::enumeration
