#include "lp/dictionary.hpp"

#include <algorithm>
#include <cmath>

#include "lp/loops.hpp"
#include "lp/tolerances.hpp"

namespace bdnn::lp {

namespace {

// So many columns of the inverse are read one by one, more of them in a pass over all.
constexpr std::size_t FEW_COLUMNS = 16;

}  // namespace

Dictionary::Dictionary(std::span<const double> cost_, std::size_t capacity, std::size_t labels)
    : x(cost_.size() + labels),
      lower(cost_.size() + labels),
      upper(cost_.size() + labels, INFINITE),
      place(cost_.size() + labels),
      cost(cost_.begin(), cost_.end()),
      d(cost),
      nonbasic(cost_.size()),
      basic(capacity),
      norm(capacity, 1.0),
      v_(cost_.size()),
      store_(std::make_shared<SparseRows>(v_, labels)),
      inside_(v_ + labels),
      loose_at_(capacity),
      source_(v_),
      alpha_(v_),
      side_(v_),
      slope_(v_),
      ratio_(v_),
      dense_(v_),
      direction_(capacity),
      value_(capacity),
      low_(capacity),
      high_(capacity),
      score_(capacity) {
    const std::size_t most = loops::padded(std::min(v_, capacity));
    for (auto* each : {&rho_, &u_, &y_, &factor_, &tau_}) each->resize(most);
    row_.resize(v_ + most);
    inner_row_.resize(most);
    inner_column_.resize(most);
    loose_.reserve(capacity);
    std::fill_n(upper.begin(), v_, 1.0);
    forget_basis();
}

SparseRows& Dictionary::rows_to_change() {
    if (store_.use_count() > 1) store_ = std::make_shared<SparseRows>(*store_);
    return *store_;
}

void Dictionary::add_row(
    std::size_t label, std::span<const Index> columns, std::span<const double> values, double rhs) {
    rows_to_change().add(label, columns, values, rhs);
    place_row(label);
    const std::size_t variable = v_ + label;
    lower[variable] = 0.0;
    upper[variable] = INFINITE;
    x[variable] = product((*store_)[label], x.data()) - rhs;
    norm[rows() - 1] = weight(rows() - 1);
}

// Let a slack be basic, in a row of its own.
void Dictionary::place_row(std::size_t label) {
    const Index i = size[0]++, variable = static_cast<Index>(v_ + label);
    basic[spot(i)] = variable;
    place[spot(variable)] = -1 - i;
    loosen(spot(i));
}

// Note that the slack of a row has become basic.
void Dictionary::loosen(std::size_t i) {
    loose_at_[i] = loose_.size();
    loose_.push_back(i);
}

// Note that it is so no more.
void Dictionary::tighten(std::size_t i) {
    const std::size_t last = loose_.back();
    loose_[loose_at_[i]] = last;
    loose_at_[last] = loose_at_[i];
    loose_.pop_back();
}

std::size_t Dictionary::drop_slack_rows(double least, std::span<Index> dropped) {
    std::size_t count = 0, i = 0;
    while (i < rows()) {
        const Index variable = basic[i];
        if (!is_slack(variable) || !(x[spot(variable)] >= least)) {
            ++i;
            continue;
        }
        dropped[count++] = variable - static_cast<Index>(v_);
        rows_to_change().remove(label_of(variable));
        tighten(i);
        const std::size_t last = rows() - 1;
        if (i != last) {
            basic[i] = basic[last];
            norm[i] = norm[last];
            place[spot(basic[i])] = -1 - static_cast<Index>(i);
            if (is_slack(basic[i])) {
                loose_at_[i] = loose_at_[last];
                loose_[loose_at_[i]] = i;
            }
        }
        size[0] -= 1;
    }
    return count;
}

void Dictionary::settle() {
    for (std::size_t j = 0; j < v_; ++j) {
        const std::size_t variable = spot(nonbasic[j]);
        x[variable] = upper[variable] < INFINITE && d[j] < 0.0 ? upper[variable] : lower[variable];
    }
    for (std::size_t p = 0; p < k_; ++p) x[spot(inner_row_[p])] = 0.0;
    for (std::size_t t = 0; t < k_; ++t) {
        const SparseRows::Row row = (*store_)[label_of(inner_column_[t])];
        u_[t] = row.rhs + x[spot(inner_column_[t])] - product(row, x.data());
    }
    std::fill(u_.begin() + static_cast<std::ptrdiff_t>(k_), u_.begin() + static_cast<std::ptrdiff_t>(loops::padded(k_)), 0.0);
    loops::multiply(G_.data(), stride_, k_, loops::padded(k_), u_.data(), y_.data());
    for (std::size_t p = 0; p < k_; ++p) x[spot(inner_row_[p])] = y_[p];
    for (const std::size_t i : loose_) {
        const SparseRows::Row row = (*store_)[label_of(basic[i])];
        x[spot(basic[i])] = product(row, x.data()) - row.rhs;
    }
    double objective = 0.0;
    for (std::size_t j = 0; j < v_; ++j) objective += cost[j] * x[j];
    state[OBJECTIVE] = objective;
}

// ---------------------------------------------------------------------------------------------- rows and columns

// The part of row r that belongs to slacks: the row of the inverse for a column, a combination of rows for a slack.
void Dictionary::compute_rho(std::size_t r) {
    const std::size_t width = loops::padded(k_);
    if (!is_slack(basic[r])) {
        std::copy_n(inverse_row(spot(inside_[spot(basic[r])])), width, rho_.begin());
        return;
    }
    std::fill_n(rho_.begin(), width, 0.0);
    const SparseRows::Row own = (*store_)[label_of(basic[r])];
    for (std::size_t e = 0; e < own.padded; ++e) {
        const std::size_t column = spot(own.columns[e]);
        if (place[column] < 0 && own.values[e] != 0.0)
            loops::add_scaled(rho_.data(), own.values[e], inverse_row(spot(inside_[column])), width);
    }
}

const double* Dictionary::row(std::size_t r) {
    compute_rho(r);
    // first the columns, then the slacks as they are in rho_, for `source_` to choose from
    std::fill_n(row_.begin(), v_, 0.0);
    if (is_slack(basic[r])) add_scaled(row_.data(), 1.0, (*store_)[label_of(basic[r])]);
    for (std::size_t t = 0; t < k_; ++t)
        add_scaled(row_.data(), -rho_[t], (*store_)[label_of(inner_column_[t])]);
    std::copy_n(rho_.begin(), k_, row_.begin() + static_cast<std::ptrdiff_t>(v_));
    for (std::size_t j = 0; j < v_; ++j) alpha_[j] = row_[source_[j]];
    return alpha_.data();
}

// By how much each basic variable changes if non-basic ones take steps: y_ by row of the inverse, direction_ by row.
void Dictionary::direction_of(std::span<const Step> steps) {
    const std::size_t width = loops::padded(k_);
    std::fill_n(u_.begin(), width, 0.0);
    std::fill(dense_.begin(), dense_.end(), 0.0);
    for (const Step& step : steps) {
        const std::size_t variable = spot(nonbasic[step.column]);
        if (variable >= v_) {
            u_[spot(inside_[variable])] += step.length;
            continue;
        }
        dense_[variable] += step.length;
        for (const SparseRows::Entry& entry : store_->column(variable)) {
            const std::size_t slack = v_ + static_cast<std::size_t>(entry.label);
            if (place[slack] >= 0) u_[spot(inside_[slack])] -= entry.value * step.length;
        }
    }
    inner_direction();
    for (std::size_t p = 0; p < k_; ++p) {
        const std::size_t variable = spot(inner_row_[p]);
        dense_[variable] = y_[p];
        direction_[spot(-1 - place[variable])] = y_[p];
    }
    for (const std::size_t i : loose_) direction_[i] = product((*store_)[label_of(basic[i])], dense_.data());
}

// y_ = G u_: a pass over all, or over a few columns if the others have nothing to give.
void Dictionary::inner_direction() {
    std::size_t some[FEW_COLUMNS], count = 0;
    for (std::size_t t = 0; t < k_ && count <= FEW_COLUMNS; ++t)
        if (u_[t] != 0.0) {
            if (count < FEW_COLUMNS) some[count] = t;
            ++count;
        }
    if (count > FEW_COLUMNS) {
        loops::multiply(G_.data(), stride_, k_, loops::padded(k_), u_.data(), y_.data());
        return;
    }
    for (std::size_t p = 0; p < k_; ++p) {
        const double* mine = inverse_row(p);
        double total = 0.0;
        for (std::size_t c = 0; c < count; ++c) total += mine[some[c]] * u_[some[c]];
        y_[p] = total;
    }
}

// ---------------------------------------------------------------------------------------------- making anew

// Let all columns be non-basic, and forget all rows.
void Dictionary::forget_basis() {
    size[0] = 0;
    k_ = 0;
    loose_.clear();
    for (std::size_t j = 0; j < v_; ++j) {
        nonbasic[j] = place[j] = static_cast<Index>(j);
        source_[j] = j;
    }
}

void Dictionary::note_basis(std::vector<bool>& enters, std::vector<bool>& leaves) const {
    enters.assign(v_, false);
    leaves.assign(x.size(), false);
    for (std::size_t p = 0; p < k_; ++p) enters[spot(inner_row_[p])] = true;
    for (std::size_t t = 0; t < k_; ++t) leaves[spot(inner_column_[t])] = true;
}

bool Dictionary::rebuild(const Csr& csr) {
    std::vector<bool> enters, leaves;
    note_basis(enters, leaves);
    forget_basis();
    rows_to_change().clear();
    for (const Index each : csr.labels) {
        const std::size_t label = spot(each), start = spot(csr.starts[label]);
        const std::size_t count = spot(csr.starts[label + 1]) - start;
        store_->add(label, csr.columns.subspan(start, count), csr.values.subspan(start, count), csr.rhs[label]);
        place_row(label);
        lower[v_ + label] = 0.0;
        upper[v_ + label] = INFINITE;
    }
    state[PIVOTS] = 0.0;
    return invert(enters, leaves);
}

// Compute the inverse kernel anew.
void Dictionary::reinvert() {
    std::vector<bool> enters, leaves;
    note_basis(enters, leaves);
    forget_basis();
    for (std::size_t label = 0; label < labels(); ++label)
        if (store_->holds(label)) place_row(label);
    invert(enters, leaves);
}

// Let some columns enter the basis and some slacks leave it, as far as the kernel is regular: the inverse is computed by
// Gauss and Jordan, each column with the largest pivot. Return whether the basis is sound.
bool Dictionary::invert(const std::vector<bool>& enters, std::vector<bool>& leaves) {
    for (std::size_t j = 0; j < v_; ++j) {
        if (!enters[j]) continue;
        const std::size_t s = spot(place[j]);
        const Step unit{s, 1.0};
        direction_of({&unit, 1});
        std::size_t r = rows();
        double largest = SOUND;
        for (std::size_t i = 0; i < rows(); ++i)
            if (is_slack(basic[i]) && leaves[spot(basic[i])] && std::fabs(direction_[i]) > largest) {
                largest = std::fabs(direction_[i]);
                r = i;
            }
        if (r == rows()) continue;
        leaves[spot(basic[r])] = false;
        compute_rho(r);
        subtract_from_inverse(basic[r], direction_[r]);
        swap_in_basis(r, s, direction_[r]);
    }
    stale_ = 0;
    for (std::size_t i = 0; i < rows(); ++i) norm[i] = weight(i);
    recompute_costs();
    bool sound = true;
    for (std::size_t j = 0; j < v_; ++j) {
        if (!is_slack(nonbasic[j]) || !(d[j] < 0.0)) continue;
        if (d[j] > -SOUND)
            d[j] = 0.0;
        else
            sound = false;
    }
    settle();
    return sound;
}

// The squared length of a row of the inverse of the basis matrix, computed anew.
double Dictionary::weight(std::size_t r) {
    compute_rho(r);
    const double length = loops::dot(rho_.data(), rho_.data(), loops::padded(k_));
    return is_slack(basic[r]) ? 1.0 + length : std::max(length, TINY);
}

void Dictionary::recompute_costs() {
    std::copy(cost.begin(), cost.end(), dense_.begin());
    std::fill_n(rho_.begin(), loops::padded(k_), 0.0);
    for (std::size_t p = 0; p < k_; ++p)
        loops::add_scaled(rho_.data(), cost[spot(inner_row_[p])], inverse_row(p), loops::padded(k_));
    for (std::size_t t = 0; t < k_; ++t)
        add_scaled(dense_.data(), -rho_[t], (*store_)[label_of(inner_column_[t])]);
    for (std::size_t j = 0; j < v_; ++j) {
        const std::size_t variable = spot(nonbasic[j]);
        d[j] = variable < v_ ? dense_[variable] : rho_[spot(inside_[variable])];
    }
}

void Dictionary::copy_from(const Dictionary& other) {
    if (this == &other) return;
    store_ = other.store_;
    const std::size_t n = other.rows();
    size = other.size;
    state = other.state;
    // views of these arrays stay where they are
    std::ranges::copy(other.x, x.begin());
    std::ranges::copy(other.lower, lower.begin());
    std::ranges::copy(other.upper, upper.begin());
    std::ranges::copy(other.place, place.begin());
    std::ranges::copy(other.cost, cost.begin());
    std::ranges::copy(other.d, d.begin());
    std::ranges::copy(other.nonbasic, nonbasic.begin());
    std::copy_n(other.basic.begin(), n, basic.begin());
    std::copy_n(other.norm.begin(), n, norm.begin());
    k_ = other.k_;
    stale_ = other.stale_;
    if (room_ < other.room_) G_.resize(other.room_ * other.room_);
    stride_ = room_ = other.room_;
    std::copy_n(other.G_.begin(), k_ * stride_, G_.begin());
    std::copy_n(other.inner_row_.begin(), k_, inner_row_.begin());
    std::copy_n(other.inner_column_.begin(), k_, inner_column_.begin());
    inside_ = other.inside_;
    source_ = other.source_;
    loose_ = other.loose_;
    loose_at_ = other.loose_at_;
}

// ---------------------------------------------------------------------------------------------- what follows from a solution


void Dictionary::multipliers(double farkas, std::span<double> out) {
    std::fill(out.begin(), out.end(), 0.0);
    if (!(farkas > 0.0)) {
        for (std::size_t j = 0; j < v_; ++j)
            if (is_slack(nonbasic[j]) && d[j] > 0.0) out[label_of(nonbasic[j])] = d[j];
        return;
    }
    const auto shown = static_cast<Index>(state[FARKAS]);
    const bool below = shown >= 0;
    const std::size_t r = spot(below ? shown : -1 - shown), variable = spot(basic[r]);
    const double gap = below ? lower[variable] - x[variable] : x[variable] - upper[variable];
    const double strength = farkas / std::max(gap, NOISE);
    row(r);
    for (std::size_t j = 0; j < v_; ++j) {
        const double value = below ? -alpha_[j] : alpha_[j];
        if (is_slack(nonbasic[j]) && value > 0.0) out[label_of(nonbasic[j])] = strength * value;
    }
    if (variable >= v_ && below) out[variable - v_] = strength;
}

Penalties Dictionary::penalties(std::size_t r) {
    row(r);
    const double value = x[spot(basic[r])], fraction = value - std::floor(value);
    double down = INFINITE, up = INFINITE;
    for (std::size_t j = 0; j < v_; ++j) {
        double t = alpha_[j];
        if (!(std::fabs(t) > PIVOT)) continue;
        const std::size_t variable = spot(nonbasic[j]);
        if (upper[variable] <= lower[variable]) continue;
        if (x[variable] == upper[variable]) t = -t;
        const double ratio = std::fabs(d[j]) / std::fabs(t);
        if (t > 0.0)
            up = std::min(up, ratio);
        else
            down = std::min(down, ratio);
    }
    return {down * fraction, up * (1.0 - fraction)};
}

// By columns of the dictionary, of which each is a combination of a few columns of the inverse.
void Dictionary::penalties_of(std::span<const Index> variables, std::span<double> down, std::span<double> up) {
    const std::size_t width = loops::padded(k_);
    std::vector<double> transposed(k_ * width), column(width), lower_down(width, INFINITE), lower_up(width, INFINITE);
    for (std::size_t p = 0; p < k_; ++p)
        for (std::size_t t = 0; t < k_; ++t) transposed[t * width + p] = inverse_row(p)[t];
    for (std::size_t j = 0; j < v_; ++j) {
        note_side(j);
        if (side_[j] == 0.0) continue;
        const std::size_t variable = spot(nonbasic[j]);
        std::ranges::fill(column, 0.0);
        if (variable >= v_) {
            std::copy_n(&transposed[spot(inside_[variable]) * width], width, column.begin());
        } else {
            for (const SparseRows::Entry& entry : store_->column(variable)) {
                const std::size_t slack = v_ + static_cast<std::size_t>(entry.label);
                if (place[slack] >= 0)
                    loops::add_scaled(column.data(), -entry.value, &transposed[spot(inside_[slack]) * width], width);
            }
        }
        loops::lower_ratios(column.data(), k_, side_[j], std::fabs(d[j]), PIVOT, lower_down.data(), lower_up.data());
    }
    for (std::size_t k = 0; k < variables.size(); ++k) {
        const std::size_t p = spot(inside_[spot(variables[k])]);
        const double value = x[spot(variables[k])], fraction = value - std::floor(value);
        down[k] = lower_down[p] * fraction;
        up[k] = lower_up[p] * (1.0 - fraction);
    }
}

}  // namespace bdnn::lp
