#include "boosting/forest.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <utility>

namespace bdnn::boosting {

namespace {

constexpr double TINY = 1e-9;  // of the loss of a row: less is rounding

// A node that may be split: its rows, their sums, and the same by bin of each input.
struct Leaf {
    std::vector<std::int32_t> rows;
    std::vector<double> total, sums;
    Index node = 0;
    double gain = 0.0;
    Index threshold = -1;
};

class Booster {
  public:
    Booster(const Table& table, const Target& target, const Settings& settings, Poll& poll)
        : table_(table),
          target_(target),
          settings_(settings),
          poll_(poll),
          outputs_(target.classes == 2 ? 1 : target.classes),
          paid_(static_cast<std::size_t>(table.start[table.inputs]), false),
          known_(static_cast<std::size_t>(table.inputs), false),
          owner_(paid_.size()),
          scores_(static_cast<std::size_t>(table.rows * outputs_)),
          shares_(scores_.size()),
          payload_(static_cast<std::size_t>(table.rows * (2 * outputs_ + 1))) {
        for (Index j = 0; j < table.inputs; ++j)
            std::fill(owner_.begin() + table.start[j], owner_.begin() + table.start[j + 1], j);
    }

    Forest grown() {
        start();
        while (bits_ < settings_.most_bits && !poll_.stopped()) {
            share();
            bool any = false;
            if (settings_.together) {
                any = tree(-1);
            } else {
                for (Index k = 0; k < outputs_ && !poll_.stopped(); ++k) any |= tree(k);
            }
            // where every value is rounded to 0, other rows might still gain something, but hardly
            if (!any) break;
        }
        return std::move(forest_);
    }

  private:
    // Begin with the shares of the classes.
    void start() {
        std::vector<double> mass(static_cast<std::size_t>(target_.classes), 0.0);
        double total = 0.0;
        for (Index r = 0; r < table_.rows; ++r) {
            mass[static_cast<std::size_t>(target_.codes[r])] += target_.weight[r];
            total += target_.weight[r];
        }
        weight_ = total / static_cast<double>(table_.rows);
        for (Index k = 0; k < outputs_; ++k) {
            double share = mass[static_cast<std::size_t>(outputs_ == 1 ? 1 : k)] / total;
            share = std::clamp(share, 1e-6, 1.0 - 1e-6);
            const double score = outputs_ == 1 ? std::log(share / (1.0 - share)) : std::log(share);
            forest_.baseline.push_back(std::rint(score / settings_.step));
            for (Index r = 0; r < table_.rows; ++r) scores_[at(r, k)] = forest_.baseline.back() * settings_.step;
        }
    }

    std::size_t at(Index row, Index output) const { return static_cast<std::size_t>(row * outputs_ + output); }

    // Probabilities of the classes by the trees so far.
    void share() {
        for (Index r = 0; r < table_.rows; ++r) {
            if (outputs_ == 1) {
                shares_[at(r, 0)] = 1.0 / (1.0 + std::exp(-scores_[at(r, 0)]));
                continue;
            }
            const double* score = &scores_[at(r, 0)];
            const double top = *std::max_element(score, score + outputs_);
            double sum = 0.0;
            for (Index k = 0; k < outputs_; ++k) sum += shares_[at(r, k)] = std::exp(score[k] - top);
            for (Index k = 0; k < outputs_; ++k) shares_[at(r, k)] /= sum;
        }
        poll_.spent(static_cast<std::size_t>(20 * table_.rows * outputs_));
    }

    // Gradients and second derivatives of one output, or of all of them, and 1 for the row.
    void derive(Index output) {
        const Index from = output < 0 ? 0 : output, to = output < 0 ? outputs_ : output + 1;
        kinds_ = to - from;
        stride_ = 2 * kinds_ + 1;
        for (Index r = 0; r < table_.rows; ++r) {
            double* p = payload_.data() + r * stride_;
            for (Index k = from; k < to; ++k) {
                const double share = shares_[at(r, k)], w = target_.weight[r];
                const bool is = target_.codes[r] == (outputs_ == 1 ? 1 : k);
                *p++ = w * (share - (is ? 1.0 : 0.0));
                *p++ = w * share * (1.0 - share);
            }
            *p = 1.0;
        }
    }

    Leaf begin() {
        Leaf root;
        root.rows.resize(static_cast<std::size_t>(table_.rows));
        std::iota(root.rows.begin(), root.rows.end(), 0);
        sum(root);
        return root;
    }

    void sum(Leaf& leaf) {
        const std::size_t bins = paid_.size() + known_.size(), stride = static_cast<std::size_t>(stride_);
        leaf.sums.assign(bins * stride, 0.0);
        leaf.total.assign(stride, 0.0);
        gathered_.resize(leaf.rows.size() * stride);
        for (std::size_t i = 0; i < leaf.rows.size(); ++i) {
            const double* p = payload_.data() + leaf.rows[i] * stride_;
            for (std::size_t k = 0; k < stride; ++k) leaf.total[k] += gathered_[i * stride + k] = p[k];
        }
        for (Index j = 0; j < table_.inputs; ++j) {
            const std::uint8_t* column = table_.bins + j * table_.rows;
            double* own = leaf.sums.data() + static_cast<std::size_t>(table_.start[j] + j) * stride;
            if (stride == 3) {
                for (std::size_t i = 0; i < leaf.rows.size(); ++i) {
                    double* q = own + 3 * static_cast<std::size_t>(column[leaf.rows[i]]);
                    const double* p = gathered_.data() + 3 * i;
                    q[0] += p[0];
                    q[1] += p[1];
                    q[2] += p[2];
                }
                continue;
            }
            for (std::size_t i = 0; i < leaf.rows.size(); ++i) {
                double* q = own + stride * static_cast<std::size_t>(column[leaf.rows[i]]);
                const double* p = gathered_.data() + stride * i;
                for (std::size_t k = 0; k < stride; ++k) q[k] += p[k];
            }
        }
        poll_.spent(leaf.rows.size() * static_cast<std::size_t>(table_.inputs) * stride);
    }

    double merit(const double* sums) const {
        double gain = 0.0;
        for (Index k = 0; k < kinds_; ++k) gain += sums[2 * k] * sums[2 * k] / (sums[2 * k + 1] + settings_.damping);
        return gain;
    }

    // Find the split that gains most beyond what its bits must gain.
    void judge(Leaf& leaf) {
        leaf.gain = 0.0;
        leaf.threshold = -1;
        const std::size_t stride = static_cast<std::size_t>(stride_);
        const double least = static_cast<double>(settings_.least);
        if (leaf.total[stride - 1] < 2.0 * least) return;
        const double whole = merit(leaf.total.data()), unit = settings_.penalty * total_weight();
        double best = TINY * total_weight();
        std::vector<double> above(stride), below(stride);
        for (Index j = 0; j < table_.inputs; ++j) {
            std::fill(above.begin(), above.end(), 0.0);
            const double fresh = known_[static_cast<std::size_t>(j)] ? 0.0 : settings_.input_price;
            for (Index t = table_.start[j + 1] - 1; t >= table_.start[j]; --t) {
                const double* sums = leaf.sums.data() + static_cast<std::size_t>(t + j + 1) * stride;
                for (std::size_t k = 0; k < stride; ++k) above[k] += sums[k];
                if (above[stride - 1] < least) continue;
                if (leaf.total[stride - 1] - above[stride - 1] < least) break;
                for (std::size_t k = 0; k < stride; ++k) below[k] = leaf.total[k] - above[k];
                const std::size_t place = static_cast<std::size_t>(t);
                const double price = settings_.split_price + (paid_[place] ? 0.0 : settings_.price[t] + fresh);
                const double gain = (merit(above.data()) + merit(below.data()) - whole) / 2.0 - unit * price;
                if (gain > best) {
                    best = leaf.gain = gain;
                    leaf.threshold = t;
                }
            }
        }
        poll_.spent(leaf.sums.size() * 4);
    }

    double total_weight() const { return weight_ * static_cast<double>(table_.rows); }

    // Grow a tree; return whether it says anything.
    bool tree(Index output) {
        derive(output);
        std::vector<Leaf> open;
        open.push_back(begin());
        const Index root = static_cast<Index>(forest_.threshold.size());
        std::vector<std::int64_t> threshold{-1}, first{0};
        open[0].node = 0;
        judge(open[0]);
        double bits = settings_.tree_price;
        while (static_cast<Index>(open.size()) < settings_.leaves && !poll_.stopped()) {
            std::size_t place = 0;
            for (std::size_t i = 1; i < open.size(); ++i)
                if (open[i].gain > open[place].gain) place = i;
            if (open[place].threshold < 0) break;
            Leaf leaf = std::move(open[place]);
            const Index t = leaf.threshold, j = owner_[static_cast<std::size_t>(t)];
            const std::size_t taken = static_cast<std::size_t>(t);
            bits += settings_.split_price;
            if (!paid_[taken]) bits += settings_.price[t];
            if (!known_[static_cast<std::size_t>(j)]) bits += settings_.input_price;
            paid_[taken] = known_[static_cast<std::size_t>(j)] = true;
            const std::uint8_t* column = table_.bins + j * table_.rows;
            const Index reached = t - table_.start[j];
            Leaf low, high;
            for (const std::int32_t r : leaf.rows) (column[r] > reached ? high : low).rows.push_back(r);
            Leaf &small = low.rows.size() < high.rows.size() ? low : high, &large = &small == &low ? high : low;
            const bool more = static_cast<Index>(open.size()) + 1 < settings_.leaves;
            if (more) {
                sum(small);
                large.sums = std::move(leaf.sums);
                for (std::size_t k = 0; k < large.sums.size(); ++k) large.sums[k] -= small.sums[k];
            } else {
                small.total.assign(static_cast<std::size_t>(stride_), 0.0);
                for (const std::int32_t r : small.rows)
                    for (Index k = 0; k < stride_; ++k)
                        small.total[static_cast<std::size_t>(k)] += payload_[static_cast<std::size_t>(r * stride_ + k)];
            }
            large.total = leaf.total;
            for (std::size_t k = 0; k < large.total.size(); ++k) large.total[k] -= small.total[k];
            threshold[static_cast<std::size_t>(leaf.node)] = t;
            low.node = first[static_cast<std::size_t>(leaf.node)] = static_cast<Index>(threshold.size());
            high.node = low.node + 1;
            threshold.insert(threshold.end(), 2, -1);
            first.insert(first.end(), 2, 0);
            if (more) {
                judge(low);
                judge(high);
            }
            open[place] = std::move(low);
            open.push_back(std::move(high));
        }
        if (open.size() == 1) return false;
        return store(output, root, open, threshold, first, bits);
    }

    // Round the values of the leaves, and add them to the scores of all rows.
    bool store(Index output, Index root, const std::vector<Leaf>& open, const std::vector<std::int64_t>& threshold,
               const std::vector<std::int64_t>& first, double bits) {
        const Index from = output < 0 ? 0 : output;
        std::vector<std::int64_t> place(threshold.size(), -1), values;
        bool any = false;
        for (const Leaf& leaf : open) {
            place[static_cast<std::size_t>(leaf.node)] =
                static_cast<Index>((forest_.values.size() + values.size()) / static_cast<std::size_t>(kinds_));
            for (Index k = 0; k < kinds_; ++k) {
                const double* sums = leaf.total.data() + 2 * k;
                const double value = -settings_.rate * sums[0] / (sums[1] + settings_.damping) / settings_.step;
                const double most = static_cast<double>(settings_.bound);
                const double whole = std::isnan(value) ? 0.0 : std::rint(std::clamp(value, -most, most));
                values.push_back(static_cast<std::int64_t>(whole));
                any |= values.back() != 0;
            }
        }
        if (!any) return false;
        forest_.roots.push_back(root);
        forest_.output.push_back(output);
        for (std::size_t k = 0; k < threshold.size(); ++k) {
            forest_.threshold.push_back(threshold[k]);
            forest_.first.push_back(threshold[k] < 0 ? place[k] : root + first[k]);
        }
        forest_.values.insert(forest_.values.end(), values.begin(), values.end());
        bits_ += bits;
        for (Index r = 0; r < table_.rows; ++r) {
            Index node = root;
            while (forest_.threshold[static_cast<std::size_t>(node)] >= 0) node = next(node, r);
            const std::int64_t* value =
                forest_.values.data() + forest_.first[static_cast<std::size_t>(node)] * kinds_;
            for (Index k = 0; k < kinds_; ++k)
                scores_[at(r, from + k)] += settings_.step * static_cast<double>(value[k]);
        }
        return true;
    }

    Index next(Index node, Index row) const {
        const Index t = forest_.threshold[static_cast<std::size_t>(node)], j = owner_[static_cast<std::size_t>(t)];
        return forest_.first[static_cast<std::size_t>(node)] +
               (table_.bins[j * table_.rows + row] > t - table_.start[j] ? 1 : 0);
    }

    const Table& table_;
    const Target& target_;
    const Settings& settings_;
    Poll& poll_;
    Index outputs_, kinds_ = 1, stride_ = 3;
    double weight_ = 1.0, bits_ = 0.0;
    std::vector<bool> paid_, known_;
    std::vector<std::int64_t> owner_;
    std::vector<double> scores_, shares_, payload_, gathered_;
    Forest forest_;
};

}  // namespace

Forest grown(const Table& table, const Target& target, const Settings& settings, Poll& poll) {
    return Booster(table, target, settings, poll).grown();
}

void add(const Table& table, const Nodes& nodes, const std::int64_t* roots, const std::int64_t* output, Index trees,
         Index outputs, std::int64_t* sums) {
    std::vector<std::int64_t> owner(static_cast<std::size_t>(table.start[table.inputs]));
    for (Index j = 0; j < table.inputs; ++j)
        std::fill(owner.begin() + table.start[j], owner.begin() + table.start[j + 1], j);
    for (Index tree = 0; tree < trees; ++tree) {
        for (Index r = 0; r < table.rows; ++r) {
            Index node = roots[tree];
            for (Index t = nodes.threshold[node]; t >= 0; t = nodes.threshold[node]) {
                const Index j = owner[static_cast<std::size_t>(t)];
                node = nodes.first[node] + (table.bins[j * table.rows + r] > t - table.start[j] ? 1 : 0);
            }
            const std::int64_t* values = nodes.values + nodes.first[node] * nodes.width;
            std::int64_t* own = sums + r * outputs + std::max<Index>(output[tree], 0);
            for (Index k = 0; k < nodes.width; ++k) own[k] += values[k];
        }
    }
}

}  // namespace bdnn::boosting
