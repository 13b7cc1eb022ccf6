// The rows of a linear program, sparse, by label; and by column, which rows have an entry there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bdnn::lp {

using Index = std::int64_t;

class SparseRows {
  public:
    // Entries are padded to a multiple of LANES by entries that are 0, so that loops over rows of about the same length
    // run equally often.
    static constexpr std::size_t LANES = 4;

    struct Row {
        const std::int32_t* columns;
        const double* values;
        std::size_t padded;
        double rhs;
    };
    struct Entry {
        std::int32_t label;
        double value;
    };

    SparseRows(std::size_t columns, std::size_t labels) : where_(labels), by_column_(columns) {}

    Row operator[](std::size_t label) const {
        const Where& at = where_[label];
        return {columns_.data() + at.start, values_.data() + at.start, at.padded, at.rhs};
    }
    std::span<const Entry> column(std::size_t j) const { return by_column_[j]; }
    bool holds(std::size_t label) const { return where_[label].held; }

    void add(std::size_t label, std::span<const Index> columns, std::span<const double> values, double rhs);
    void remove(std::size_t label);
    void clear();

  private:
    struct Where {
        std::size_t start = 0, count = 0, padded = 0;
        double rhs = 0.0;
        bool held = false;
    };

    void compact();

    std::vector<Where> where_;
    std::vector<std::int32_t> columns_;
    std::vector<double> values_;
    std::size_t unused_ = 0;  // entries of rows that were removed
    std::vector<std::vector<Entry>> by_column_;
};

// The product of a row with a vector; the sum has LANES accumulators.
inline double product(const SparseRows::Row& row, const double* x) {
    double lanes[SparseRows::LANES] = {};
    for (std::size_t e = 0; e < row.padded; e += SparseRows::LANES)
        for (std::size_t l = 0; l < SparseRows::LANES; ++l) lanes[l] += row.values[e + l] * x[row.columns[e + l]];
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

// y += a row.
inline void add_scaled(double* y, double a, const SparseRows::Row& row) {
    const std::int32_t* column = row.columns;
    const double* value = row.values;
    for (const double* const end = value + row.padded; value != end;) {
        // read before anything is written: for all the compiler knows, y may be where the values are
        const double t0 = a * value[0], t1 = a * value[1], t2 = a * value[2], t3 = a * value[3];
        const std::int32_t c0 = column[0], c1 = column[1], c2 = column[2], c3 = column[3];
        y[c0] += t0;
        y[c1] += t1;
        y[c2] += t2;
        y[c3] += t3;
        value += SparseRows::LANES;
        column += SparseRows::LANES;
    }
}

}  // namespace bdnn::lp
