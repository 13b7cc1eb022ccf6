#include "lp/sparse_rows.hpp"

#include <algorithm>

namespace bdnn::lp {

void SparseRows::add(
    std::size_t label, std::span<const Index> columns, std::span<const double> values, double rhs) {
    const std::size_t padded = (columns.size() + LANES - 1) / LANES * LANES;
    where_[label] = {columns_.size(), columns.size(), padded, rhs, true};
    for (std::size_t e = 0; e < columns.size(); ++e) {
        columns_.push_back(static_cast<std::int32_t>(columns[e]));
        values_.push_back(values[e]);
        by_column_[static_cast<std::size_t>(columns[e])].push_back({static_cast<std::int32_t>(label), values[e]});
    }
    // different columns in turn: a processor that adds to the same number again has to wait for the first sum
    for (std::size_t e = columns.size(); e < padded; ++e) {
        columns_.push_back(static_cast<std::int32_t>(columns[e % columns.size()]));
        values_.push_back(0.0);
    }
}

void SparseRows::remove(std::size_t label) {
    const Row row = (*this)[label];
    for (std::size_t e = 0; e < where_[label].count; ++e)
        std::erase_if(by_column_[static_cast<std::size_t>(row.columns[e])],
                      [&](const Entry& entry) { return entry.label == static_cast<std::int32_t>(label); });
    unused_ += row.padded;
    where_[label] = {};
    if (2 * unused_ > columns_.size()) compact();
}

void SparseRows::clear() {
    std::fill(where_.begin(), where_.end(), Where{});
    columns_.clear();
    values_.clear();
    unused_ = 0;
    for (auto& entries : by_column_) entries.clear();
}

void SparseRows::compact() {
    std::vector<std::int32_t> columns;
    std::vector<double> values;
    columns.reserve(columns_.size() - unused_);
    values.reserve(columns_.size() - unused_);
    for (std::size_t label = 0; label < where_.size(); ++label) {
        if (!holds(label)) continue;
        const Row row = (*this)[label];
        where_[label].start = columns.size();
        columns.insert(columns.end(), row.columns, row.columns + row.padded);
        values.insert(values.end(), row.values, row.values + row.padded);
    }
    columns_.swap(columns);
    values_.swap(values);
    unused_ = 0;
}

}  // namespace bdnn::lp
