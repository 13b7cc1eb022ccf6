// The forms of a pencil, and exact answers about them.
#include <algorithm>
#include <cmath>

#include "enumeration/halfspaces.hpp"
#include "numerics.hpp"

namespace bdnn::enumeration {

namespace {

// error bounds of forms for coordinates up to 1 and pivots that differ by up to 1: some ten roundings, with room
constexpr double FORM_ERROR_3 = 0x1p-47, FORM_ERROR_4 = 0x1p-44, MINOR_ERROR = 0x1p-49;
// what underflow may add
constexpr double UNDERFLOW_ERROR = 1e-290;
// values of forms below this multiple of their error bound are computed exactly, so that angles are known well
constexpr double DOUBTFUL = 0x1p30;

}  // namespace

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

// Make some points ready to be compared.
void Halfspaces::measure(Pencil& pencil, const Index* first, Index points) {
    if (exact_) return;
    make_exact(pencil);
    wide_a_.resize(points);
    wide_b_.resize(points);
    slot_.resize(count());
    for (Index k = 0; k < points; ++k) {
        slot_[first[k]] = k;
        wide_a_[k] = exact_form(pencil, first[k], false);
        wide_b_[k] = exact_form(pencil, first[k], true);
    }
    poll_.spent(static_cast<std::size_t>(500 * points));
}

// Whether the angle of one point is less than (1) or greater than (-1) that of another, or the same (0), exactly.
int Halfspaces::ordered(Index i, Index j) const {
    int sign;
    if (exact_) {
        const Pair x = two_product(a_[i], b_[j]), y = two_product(a_[j], b_[i]);
        const double high = x.high - y.high, low = x.low - y.low;
        sign = high > 0.0 ? 1 : high < 0.0 ? -1 : low > 0.0 ? 1 : low < 0.0 ? -1 : 0;
    } else {
        const Index p = slot_[i], q = slot_[j];
        sign = (wide_a_[p] * wide_b_[q] - wide_a_[q] * wide_b_[p]).sign();
    }
    return reversed(i) != reversed(j) ? -sign : sign;
}

}  // namespace bdnn::enumeration
