// What kernels call while they work, so that limits and Ctrl-C act soon.
#pragma once

#include <chrono>
#include <cstddef>

namespace bdnn {

// Kernels say how much they have done; about every 10 ms `ask` is called, which may throw to end the work.
class Poll {
  public:
    virtual ~Poll() = default;

    // Count elementary operations, of which a processor does 1e8 or more in a second.
    void spent(std::size_t operations) {
        spent_ += operations;
        if (spent_ < OPERATIONS) return;
        spent_ = 0;
        const auto now = Clock::now();
        if (now < next_) return;
        if (!ask()) stopped_ = true;
        next_ = Clock::now() + INTERVAL;
    }

    // Whether the caller wants no more: kernels end as at a limit.
    bool stopped() const { return stopped_; }

  protected:
    // Whether to go on.
    virtual bool ask() { return true; }

  private:
    using Clock = std::chrono::steady_clock;
    // reading the clock takes some 30 ns, these operations 1 ms at most
    static constexpr std::size_t OPERATIONS = 100'000;
    static constexpr std::chrono::milliseconds INTERVAL{10};

    std::size_t spent_ = 0;
    bool stopped_ = false;
    Clock::time_point next_ = Clock::now() + INTERVAL;
};

}  // namespace bdnn
