// The alternative linear program of rows v_i: mu >= 0 with Σ mu_i v_i = 0 and Σ mu_i = 1, at least cost.
//
// The support of a vertex is a set of rows that no w makes all positive (P. Gordan 1873): an inseparable set. With costs
// that say how much the current solution gives up each row, cheap vertices are violated cuts. Residuals of Σ mu_i v_i are
// allowed at a high price, so there is always a vertex to go on from, and the prices pi at the optimum are weights: if
// the optimum is positive although some rows cost nothing, then -pi separates these.
//
// A primal simplex method with an explicit inverse: p + 1 rows (p numbers per row), one column per point. All that is
// found here is a proposal: sets are proven and weights audited in exact arithmetic elsewhere.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "poll.hpp"

namespace bdnn::lp {

class Alternative {
  public:
    using Index = std::int64_t;

    // `rows` holds m rows of p numbers each; m is positive.
    Alternative(const double* rows, std::size_t m, std::size_t p);

    // Begin with one row and residuals.
    void restart(std::size_t first);

    // Sets of rows, sorted, in an array of `capacity` rows with p + 1 columns; the first `found` are there.
    struct Sets {
        Index* rows;
        Index* sizes;
        std::size_t capacity, found;
    };

    struct Question {
        std::span<const double> cost;   // price of each row
        double residual;                // price of the residuals
        std::span<const double> given;  // supports with Σ given < most are collected
        double most;
        std::size_t limit;  // pivots at most
    };

    // Minimize Σ cost_i mu_i + residual |Σ mu_i v_i|_1 and collect supports that `given` violates, from the present basis
    // on. Return the optimum, or infinity if it was not reached within the limit or before `poll` said stop.
    double separate(const Question& question, Sets& sets, Poll& poll);

    std::size_t points() const { return m_; }
    std::size_t size() const { return q_; }  // p + 1
    std::size_t stride() const { return stride_; }

    // Seen by Python.
    std::vector<double> V;        // of shape (p + 1, m): rows as columns, below them a row of ones
    std::vector<Index> basis;     // columns; m + 2k and m + 2k + 1 are the residuals +e_k and -e_k
    std::vector<double> inverse;  // of the basis, of shape (p + 1, stride)
    std::vector<double> mu;       // basic values
    std::vector<double> prices;   // of the last optimum
    std::array<Index, 2> count{};  // pivots since the last factorization, and in all

  private:
    static constexpr std::size_t NONE = ~std::size_t{0};

    double* inverse_row(std::size_t i) { return inverse.data() + i * stride_; }
    double price_of(std::size_t column, const Question& question) const {
        return column < m_ ? question.cost[column] : question.residual;
    }
    bool factorise();
    void make_sure(const Question& question);
    void compute_prices(const Question& question);
    std::size_t choose_entering(const Question& question, bool stalling);
    void compute_direction(std::size_t entering);
    std::size_t choose_leaving(bool stalling) const;
    void pivot(std::size_t leaving, std::size_t entering, double step);
    double objective(const Question& question) const;
    void store(const Question& question, Sets& sets) const;

    std::size_t m_, q_, stride_;
    std::vector<double> columns_;  // of shape (m, stride): what V has as columns, as rows
    std::vector<double> reduced_, direction_, eliminated_, pivot_row_;
};

}  // namespace bdnn::lp
