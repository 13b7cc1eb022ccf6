// The best halfspace of points with two to four coordinates, or one, among all there are.
//
// Points have gains: what it costs that they are inside, less what it costs that they are outside. Every way in which a
// halfspace divides points that span the space comes from a hyperplane through as many independent points as there are
// coordinates: those off the hyperplane lie as they are to lie, and those on it are divided by a halfspace of it (an
// extreme ray of the cone of all (w, b) that divide the points so; M. E. Houle, doi:10.1007/978-3-642-04128-0_64 on
// dichotomies by hyperplanes). So hyperplanes turn about what all but one of their independent points span: a
// *pencil*. In a pencil every point is met at one angle, and between angles the objective is a sum of gains.
//
// - Angles are sorted into buckets. In a bucket no sum is lower than at its beginning by more than its gains of one sign,
//   so most pencils are done with after one look at all points and no sort: O(m^n) beside O(m^n log m).
// - What is computed is exact where integers are small enough for doubles; else it has error bounds, and what these leave
//   open is decided in wide integers. Nearly all of it is never asked: a group of points whose order is not known is
//   only looked at if it would help in the best order.
// - Points on a hyperplane beyond those that determine it (points in line, in a plane, equal angles) are first counted
//   as if they could be divided at will, and only if that would help, the same problem is solved among them, with one
//   coordinate less. To see each such hyperplane once, it counts in the pencil of its first independent points only.
// - Hyperplanes with many points are remembered. In other pencils of their points these count as one, since all are met
//   at one angle, at which there is nothing more to see: data with columns of few values are as fast as others.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "enumeration/coordinates.hpp"
#include "enumeration/loops.hpp"
#include "enumeration/wide_integer.hpp"
#include "poll.hpp"

namespace bdnn::enumeration {

// Points of one space: all of them, or those on a hyperplane, with one coordinate less.
class Halfspaces {
  public:
    // Gains are integers whose absolute values add up to less than 2^52.
    Halfspaces(const Coordinates& data, std::vector<int> inputs, Poll& poll);

    // Look for a halfspace whose gains inside add up to less than `least`, which becomes the least sum, for points that
    // are given by their numbers, ascending, and span the space. Return whether there is one.
    bool search(const std::vector<Index>& points, const double* gain, double& least);

    // Which of the points are inside the best halfspace that was found.
    const std::vector<std::uint8_t>& inside() const { return inside_; }

  private:
    // Of a pencil: two linear forms that vanish on what its hyperplanes have in common, as doubles and exactly.
    struct Pencil {
        Index pivot[MOST_INPUTS - 1];
        int in_first = 0, in_second = 0;  // coordinate that only one form has
        int shared[MOST_INPUTS - 2] = {};
        double first[MOST_INPUTS] = {}, second[MOST_INPUTS] = {};
        double error = 0.0;  // of values of the forms; 0 if their signs are right
        bool has_exact = false;
        WideInteger wide[3][3];  // minors: see `exact_form`
    };

    int dimension() const { return static_cast<int>(inputs_.size()); }
    Index count() const { return static_cast<Index>(points_->size()); }
    WideInteger difference(Index i, Index j, int k) const;

    void search_line(double& least);
    void search_pencils(double& least);
    bool in_line(Index p, Index q, Index r) const;
    bool prepare(Pencil& pencil) const;
    bool prepare_three(Pencil& pencil) const;
    bool prepare_four(Pencil& pencil) const;
    void make_exact(Pencil& pencil) const;
    WideInteger exact_form(const Pencil& pencil, Index i, bool second) const;
    int unit_of(const Pencil& pencil, bool second) const;
    void correct(Pencil& pencil);
    void measure(Pencil& pencil, const Index* first, Index points);
    int ordered(Index i, Index j) const;
    bool reversed(Index i) const { return b_[i] < 0.0 || (b_[i] == 0.0 && a_[i] < 0.0); }

    void look(Pencil& pencil, double& least);
    bool find_flat(const Pencil& pencil);
    void look_closely(Pencil& pencil, std::int32_t bucket, double before, double& least);
    void look_at_group(Pencil& pencil, Index begin, Index end, double before, double& least);
    void take(Index begin, Index end, bool positive, const Halfspaces* on);
    void remember(Index begin, Index end);
    void join(const Pencil& pencil);

    const Coordinates& data_;
    std::vector<int> inputs_;  // coordinates that are used
    Poll& poll_;
    bool exact_;                          // whether doubles hold all values of forms
    std::unique_ptr<Halfspaces> lower_[MOST_INPUTS];  // of hyperplanes, without one of the coordinates

    const std::vector<Index>* points_ = nullptr;
    const double* gain_ = nullptr;
    std::vector<double> x_[MOST_INPUTS];
    const double* x_at_[MOST_INPUTS] = {};
    std::vector<std::uint8_t> inside_;

    // of a pencil
    std::vector<double> a_, b_, error_, key_, turned_, doubt_, sums_;
    std::vector<std::int32_t> bucket_;
    std::vector<Index> order_, begin_, flat_, on_, local_;
    std::vector<double> gain_on_, left_;
    std::vector<std::uint8_t> in_line_;
    std::vector<WideInteger> wide_a_, wide_b_;  // exact values of the forms, of the points that are compared
    std::vector<Index> slot_;                   // where they are, of each point

    // hyperplanes with many points
    static constexpr std::size_t MOST_KEPT = 64;  // bits of a number
    enum Role : std::uint8_t { SINGLE, JOINED, FIRST_OF_JOINED };
    std::vector<std::vector<Index>> kept_;
    std::vector<std::uint64_t> kept_of_;         // those that each point is on, by bit
    std::vector<std::pair<Index, std::size_t>> joined_;  // in this pencil: first point, number
    std::vector<Role> role_;
    Index buckets_ = 1;
    bool one_bucket_ = false, sorted_ = false;
    double total_ = 0.0;                    // of all gains
    double flat_gain_ = 0.0, rest_ = 0.0;  // of the points on the flat that help inside, of all points off the flat
};

}  // namespace bdnn::enumeration
