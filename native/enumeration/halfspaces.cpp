#include "enumeration/halfspaces.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

namespace bdnn::enumeration {

namespace {

// bits of coordinates up to which differences (two inputs), two-by-two (three) and three-by-three determinants (four)
// are exact in doubles
constexpr int EXACT_BITS[MOST_INPUTS + 1] = {0, 0, 51, 25, 15};
// points of a bucket, on average, and points below which there are no buckets: with fewer points in a bucket its bound is
// sharper, and few points are sorted as fast as they are dealt
constexpr Index POINTS_OF_BUCKET = 2, FEWEST_POINTS = 32;
// points on a hyperplane that is remembered: sorting fewer costs less than joining them
constexpr Index MANY_POINTS = 12;
// keys are from -1 to 1; buckets begin where frequent angles do not lie
constexpr double KEY_SHIFT = 1.0371828, KEY_RANGE = 2.08;

}  // namespace

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
    kept_.clear();
    kept_of_.assign(m, 0);
    joined_.clear();
    role_.assign(m, SINGLE);
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
    join(pencil);
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
        const auto left_out = [&](Index i) { return (a_[i] == 0.0 && b_[i] == 0.0) || role_[i] == JOINED; };
        for (Index i = 0; i < m; ++i)
            if (!left_out(i)) ++begin_[bucket_of(i) + 1];
        std::partial_sum(begin_.begin(), begin_.end(), begin_.begin());
        local_.assign(begin_.begin(), begin_.end() - 1);
        for (Index i = 0; i < m; ++i)
            if (!left_out(i)) order_[local_[bucket_of(i)]++] = i;
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
            if (next - k > 1) {
                measure(pencil, order + k, next - k);
                std::sort(order + k, order + next, [&](Index i, Index j) {
                    const int sign = ordered(i, j);
                    return sign != 0 ? sign > 0 : i < j;
                });
            }
            double at = now;
            for (Index first = k; first < next;) {
                Index past = first + 1;
                while (past < next && ordered(order[first], order[past]) == 0) ++past;
                look_at_group(pencil, first, past, at, least);
                for (; first < past; ++first) at -= turned_[order[first]];
            }
            poll_.spent(static_cast<std::size_t>((next - k) * (exact_ ? 20 : 1000)));
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
        if (role_[i] == FIRST_OF_JOINED) return;  // seen before
        first = std::min(first, i);
        group += gain_[i];
        (turned_[i] > 0.0 ? up : down) += turned_[i];
        if ((turned_[i] > 0.0) == (gain_[i] > 0.0)) inside += gain_[i];
    }
    const double plus = before - up + flat_gain_, minus = rest_ - before + down + flat_gain_;
    if (end - begin >= MANY_POINTS) remember(begin, end);
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

// Keep a hyperplane with many points for other pencils; those it counts in come first, so it has been seen there.
void Halfspaces::remember(Index begin, Index end) {
    std::size_t place = kept_.size();
    if (place < MOST_KEPT) {
        kept_.emplace_back();
    } else {
        const auto smaller = [](const auto& x, const auto& y) { return x.size() < y.size(); };
        const auto smallest = std::min_element(kept_.begin(), kept_.end(), smaller);
        place = static_cast<std::size_t>(smallest - kept_.begin());
        const bool in_use = std::any_of(joined_.begin(), joined_.end(), [&](const auto& j) { return j.second == place; });
        if (in_use || static_cast<Index>(smallest->size()) >= static_cast<Index>(flat_.size()) + end - begin) return;
        for (Index i : *smallest) kept_of_[i] &= ~(std::uint64_t{1} << place);
    }
    std::vector<Index>& points = kept_[place];
    points.assign(flat_.begin(), flat_.end());
    points.insert(points.end(), order_.begin() + begin, order_.begin() + end);
    for (Index i : points) kept_of_[i] |= std::uint64_t{1} << place;
}

// Let the points of remembered hyperplanes of this pencil count as one each.
void Halfspaces::join(const Pencil& pencil) {
    for (const auto& [first, place] : joined_)
        for (Index i : kept_[place]) role_[i] = SINGLE;
    joined_.clear();
    std::uint64_t common = kept_of_[pencil.pivot[0]];
    for (int k = 1; k + 1 < dimension(); ++k) common &= kept_of_[pencil.pivot[k]];
    for (; common; common &= common - 1) {
        const auto place = static_cast<std::size_t>(std::countr_zero(common));
        Index first = -1;
        double sum = 0.0;
        for (Index i : kept_[place]) {
            if (a_[i] == 0.0 && b_[i] == 0.0) continue;
            sum += turned_[i];
            turned_[i] = 0.0;
            role_[i] = first < 0 ? FIRST_OF_JOINED : JOINED;
            if (first < 0) first = i;
        }
        if (first < 0) continue;
        turned_[first] = sum;
        joined_.emplace_back(first, place);
    }
}

// Note which points are inside: on one side of a hyperplane, and of those on it what `on` says, or what helps.
void Halfspaces::take(Index begin, Index end, bool positive, const Halfspaces* on) {
    inside_.assign(count(), 0);
    const auto put = [&](Index i, bool passed) { inside_[i] = (reversed(i) == passed) == positive; };
    for (Index k = 0; k < begin_.back(); ++k) {
        const Index i = order_[k];
        put(i, k < begin);
        if (role_[i] != FIRST_OF_JOINED) continue;
        const auto joined = std::find_if(joined_.begin(), joined_.end(), [&](const auto& j) { return j.first == i; });
        for (Index other : kept_[joined->second])
            if (role_[other] == JOINED) put(other, k < begin);
    }
    if (on) {
        for (std::size_t k = 0; k < on_.size(); ++k) inside_[on_[k]] = on->inside()[k];
        return;
    }
    for (Index i : flat_) inside_[i] = gain_[i] < 0.0;
    for (Index k = begin; k < end; ++k) inside_[order_[k]] = gain_[order_[k]] < 0.0;
}

}  // namespace bdnn::enumeration
