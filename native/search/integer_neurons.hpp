// All integer weights of one neuron with few inputs, one after another, each with its best bias.
//
// For given weights the objective is a step function of the threshold. Sums go into buckets by value; inside a bucket the
// objective cannot be lower than at its upper end by more than its negative gains, so that most weights are done with as
// soon as they are seen to be no better than what is known. The sums of others are sorted.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "poll.hpp"
#include "search/loops.hpp"

namespace bdnn::search {

using loops::Index;

// Points by input, their gains (losses of firing less losses of not firing), and the least and largest weights.
struct IntegerPoints {
    Index inputs, points;
    const std::int32_t *X, *gain, *low, *high;
    bool nonzero;  // whether weights of 0 are left out; the ends are not 0 then
};

class IntegerNeurons {
  public:
    // Sums of weights times inputs, and sums of gains, are below 2^30 in absolute value.
    explicit IntegerNeurons(const IntegerPoints& data);

    // Go through `count` weights at most, from `weights` on, which is where to go on; return whether some are left.
    // `least` is the objective to be beaten, and becomes that of `found`: weights and, last, the bias.
    bool explore(std::int32_t* weights, Index count, std::int64_t& least, std::int64_t* found, Poll& poll);

  private:
    static constexpr Index MOST_BUCKETS = 256;

    void load(const std::int32_t* weights);
    bool advance(std::int32_t* weights);
    void look(const std::int32_t* weights, std::int64_t& least, std::int64_t* found);
    void look_closely(const std::int32_t* weights, std::int64_t& least, std::int64_t* found);
    std::int32_t* sums(Index level) { return sums_.data() + level * data_.points; }

    IntegerPoints data_;
    std::vector<std::int32_t> least_, largest_;  // value of each input
    std::vector<std::int32_t> sums_;             // of the first inputs: none, one, two, and so on
    std::vector<std::int64_t> packed_;           // of each point 2^32 times the gain, plus what it is below 0
    std::vector<std::pair<std::int32_t, std::int32_t>> sorted_;
    std::int64_t buckets_[MOST_BUCKETS];
};

}  // namespace bdnn::search
