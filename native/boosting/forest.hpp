// Boosted trees that are to take few bytes: leaves are small integers, and what has not been used before costs something.
//
// Newton boosting of the logistic loss, best-first trees on binned inputs, with penalties of every first use of an input
// or a threshold (N. Herrmann et al., Boosted Trees on a Diet, arXiv:2510.26557). Leaves are rounded before the next tree
// grows, so that later trees make up for it.
#pragma once

#include <cstdint>
#include <vector>

#include "poll.hpp"

namespace bdnn::boosting {

using Index = std::int64_t;

// Rows by inputs that are cut at thresholds: bin b of an input says that its first b thresholds are reached.
struct Table {
    Index rows, inputs;
    const std::uint8_t* bins;   // by input, then by row
    const std::int64_t* start;  // first threshold of each input, and their number
};

struct Target {
    const std::int64_t* codes;  // class of each row
    const double* weight;       // of each row
    Index classes;
};

struct Settings {
    Index leaves;         // of a tree, at most
    bool together;        // whether a leaf has a value for each output, or each tree is one output's
    double rate, step;    // learning rate, and what 1 stands for in the values of leaves
    Index bound;          // largest value of a leaf
    double damping;       // added to second derivatives
    Index least;          // rows of a leaf
    double penalty;       // of the loss a bit must gain
    const double* price;  // bits of the first use of each threshold
    double input_price, split_price, tree_price;
    double most_bits;     // trees end when they are about as many bits
};

// Nodes of all trees, each tree in the order in which they were made. A row goes to the second child if it reaches the
// threshold.
struct Forest {
    std::vector<std::int64_t> roots, output;     // of each tree; output -1 if its leaves have values for all
    std::vector<std::int64_t> threshold, first;  // of each node: -1 for a leaf; first child, or place of a leaf's values
    std::vector<std::int64_t> values;
    std::vector<double> baseline;                // of each output, in units of `step`
};

Forest grown(const Table& table, const Target& target, const Settings& settings, Poll& poll);

// Trees as they are stored; inputs and bins of thresholds are those of the table.
struct Nodes {
    const std::int64_t *threshold, *first, *values;
    Index width;  // values of a leaf
};

// Add to sums (rows, outputs) what trees say; the output is that of each tree, or -1.
void add(const Table& table, const Nodes& nodes, const std::int64_t* roots, const std::int64_t* output, Index trees,
         Index outputs, std::int64_t* sums);

}  // namespace bdnn::boosting
