// Lets a long kernel stop early: Ctrl-C acts within a small part of a second, at the cost of a look at the clock now and
// then.
#pragma once

#include <chrono>
#include <cstddef>

namespace bdnn::search {

class Interrupt {
  public:
    // `asked` says whether the caller wants the kernel to stop.
    explicit Interrupt(bool (*asked)()) : asked_(asked), last_(std::chrono::steady_clock::now()) {}

    // Whether to stop; `work` is what was done since the last call, in operations of some nanoseconds.
    bool wanted(std::ptrdiff_t work) {
        work_ += work;
        if (work_ < OPERATIONS || stopped_) return stopped_;
        work_ = 0;
        auto now = std::chrono::steady_clock::now();
        if (now - last_ < std::chrono::milliseconds(20)) return false;
        last_ = now;
        return stopped_ = asked_();
    }

    bool stopped() const { return stopped_; }

  private:
    static constexpr std::ptrdiff_t OPERATIONS = 1 << 18;

    bool (*asked_)();
    std::chrono::steady_clock::time_point last_;
    std::ptrdiff_t work_ = 0;
    bool stopped_ = false;
};

}  // namespace bdnn::search
