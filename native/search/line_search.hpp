// Exact line searches: minimize the sum of g_i [a_i + t s_i >= 0] over t.
//
// Each point makes one jump, at the breakpoint -a_i / s_i. Breakpoints go into buckets by value. At the border of two
// buckets the objective is known from the sums of the buckets; inside a bucket it cannot be lower than at its start by
// more than its negative jumps. Only buckets in which the minimum may lie are sorted.
#pragma once

#include <cstdint>

#include "buffer.hpp"
#include "random.hpp"
#include "search/interrupt.hpp"
#include "search/loops.hpp"

namespace bdnn::search {

using loops::Index;

// Where the objective is least: left < t < right, or left <= t < right for integers. The outer ones are infinite.
struct Interval {
    double change;  // best objective less that of t = 0
    double left, right;
};

// Points on a line: pre-activations, slopes, and gains (losses of firing less losses of not firing).
struct Line {
    Index size;
    const double *a, *s, *g;
};

class LineSearch {
  public:
    // The best interval; of equally good ones a random one. After an interrupt it is (-inf, inf), with no change.
    Interval minimise(const Line& line, bool integer, Random random, Interrupt& interrupt);

  private:
    struct Breakpoint {
        double t;
        std::int32_t bucket, point;
    };

    loops::Buckets range(const Line& line, bool integer, Index count) const;
    double fill(const Line& line, bool integer, loops::Buckets buckets, Index count, Interrupt& interrupt);
    void choose(double before, Index count);
    Index pick(const Line& line, bool integer, Interrupt& interrupt);
    void group(Index picked, Index count, Interrupt& interrupt);
    Interval sweep(const Line& line, Index picked, Index count, Random random, Interrupt& interrupt) const;
    static void sort(Breakpoint* first, Breakpoint* last, Breakpoint* room, Interrupt& interrupt);
    static void insert(Breakpoint* first, Breakpoint* last);
    static void merge(const Breakpoint* low, const Breakpoint* middle, const Breakpoint* high, Breakpoint* out);
    bool moves(Index bucket) const { return sums_[2 * bucket] != 0.0 || sums_[2 * bucket + 1] != 0.0; }

    Room<std::uint16_t> slot_room_;
    Room<double> sums_room_, starts_room_;
    Room<std::uint8_t> wanted_room_;
    Room<Breakpoint> picked_room_, grouped_room_, merged_room_;
    Room<Index> ends_room_;
    std::uint16_t* slot_ = nullptr;               // of each point, see loops::breakpoints
    double *sums_ = nullptr, *starts_ = nullptr;  // positive and negative jumps of each bucket; objective at its start
    std::uint8_t* wanted_ = nullptr;              // slots of buckets in which the minimum may lie
    Breakpoint *picked_ = nullptr, *grouped_ = nullptr;
};

// The best t of t_min, ..., t_min + count - 1, and the change of the objective; t_min is an integer.
struct Step {
    double change, t;
};
Step lattice_search(const Line& line, double t_min, Index count, Random random, Room<double>& room);

// The breakpoint of a point; of integers, the first t for which the jump is done.
double breakpoint(double a, double s, bool integer);

}  // namespace bdnn::search
