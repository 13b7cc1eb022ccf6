// Sums of weights times signals, over all points of a block or over those at which a neuron matters.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "buffer.hpp"
#include "search/interrupt.hpp"
#include "search/loops.hpp"

namespace bdnn::search {

using loops::Index;

// Points between two looks at an interrupt: a millisecond, so that a look costs nothing.
inline constexpr Index PIECE = 1 << 16;

// Adds columns to sums, several at a time; each sum is taken in the order in which the columns come. After an interrupt
// nothing more is added: sums are then of no use.
template <class Signal>
class ColumnSum {
  public:
    ColumnSum(Index m, double* out, Interrupt* interrupt = nullptr) : m_(m), out_(out), interrupt_(interrupt) {}
    ~ColumnSum() { flush(); }
    ColumnSum(const ColumnSum&) = delete;
    ColumnSum& operator=(const ColumnSum&) = delete;

    // Add v times a column.
    void add(double v, const Signal* column) {
        columns_[count_] = column, values_[count_++] = v;
        if (count_ == AT_ONCE) flush();
    }

    // Add v times some values of a column.
    void add(double v, const Signal* column, const std::int32_t* points) {
        flush();
        pieces(1, [&](Index begin, Index m) { loops::add_gathered(m, v, column, points + begin, out_ + begin); });
    }

  private:
    static constexpr Index AT_ONCE = 32;

    void flush() {
        if (count_)
            pieces(count_, [this](Index begin, Index m) {
                const Signal* from[AT_ONCE];
                for (Index c = 0; c < count_; ++c) from[c] = columns_[c] + begin;
                loops::add_columns(m, count_, values_, from, out_ + begin);
            });
        count_ = 0;
    }

    template <class Work>
    void pieces(Index columns, Work work) {
        for (Index begin = 0; begin < m_; begin += PIECE) {
            Index m = std::min(PIECE, m_ - begin);
            if (interrupt_ && interrupt_->wanted(columns * m)) return;
            work(begin, m);
        }
    }

    Index m_, count_ = 0;
    double* out_;
    Interrupt* interrupt_;
    const Signal* columns_[AT_ONCE];
    double values_[AT_ONCE];
};

// Signals at the points at which a neuron matters. Columns are copied when they are first used, so that later uses read
// memory in order.
template <class Signal>
class Columns {
  public:
    // Row j of the n signals begins at signal + j * stride; there are q active points, all of them if q is the stride.
    Columns(const Signal* signal, Index n, Index stride, const std::int32_t* active, Index q,
            Room<unsigned char>& room, Interrupt* interrupt = nullptr)
        : signal_(signal), stride_(stride), active_(active), q_(q), whole_(q == stride), interrupt_(interrupt),
          copied_(n, 0) {
        std::size_t bytes = static_cast<std::size_t>(n) * q * sizeof(Signal);
        copies_ = !whole_ && bytes <= MOST_COPIED;
        if (copies_) copy_ = reinterpret_cast<Signal*>(room.get(bytes));
    }

    Signal at(Index j, Index r) const { return signal_[j * stride_ + active_[r]]; }

    // Add v times signal j at the points to a sum.
    void add_to(ColumnSum<Signal>& sum, double v, Index j) {
        if (const Signal* found = column(j))
            sum.add(v, found);
        else
            sum.add(v, signal_ + j * stride_, active_);
    }

    // Values of signal j at single points.
    struct Values {
        const Signal* signal;
        const std::int32_t* points;  // null if they are in order
        Signal operator[](Index r) const { return signal[points ? points[r] : r]; }
    };
    Values values(Index j) {
        const Signal* found = column(j);
        return found ? Values{found, nullptr} : Values{signal_ + j * stride_, active_};
    }

  private:
    // Columns are copied if together they take no more memory than this.
    static constexpr std::size_t MOST_COPIED = std::size_t{1} << 26;

    // Values of signal j in the order of the points; null if they are not copied.
    const Signal* column(Index j) {
        if (whole_) return signal_ + j * stride_;
        if (!copies_) return nullptr;
        Signal* column = copy_ + j * q_;
        if (!copied_[j]) copy(signal_ + j * stride_, column), copied_[j] = 1;
        return column;
    }

    // After an interrupt, what is not copied yet is 0.
    void copy(const Signal* from, Signal* to) {
        for (Index begin = 0; begin < q_; begin += PIECE) {
            Index m = std::min(PIECE, q_ - begin);
            if (interrupt_ && interrupt_->wanted(m))
                std::fill(to + begin, to + begin + m, Signal{0});
            else
                loops::gather(m, from, active_ + begin, to + begin);
        }
    }

    const Signal* signal_;
    Index stride_;
    const std::int32_t* active_;
    Index q_;
    bool whole_, copies_ = false;
    Interrupt* interrupt_;
    Signal* copy_ = nullptr;
    std::vector<char> copied_;
};

}  // namespace bdnn::search
