// Structures that Python holds: one thread at a time works on them, and Ctrl-C ends long work.
#pragma once

#include <utility>

#include "arrays.hpp"
#include "poll.hpp"

namespace bdnn {

// A structure that knows whether a kernel works on it; the mark is only touched while the GIL is held.
template <class T>
struct Guarded : T {
    using T::T;
    bool busy = false;
};

// While it lives, no other thread may use the structure: a second one would break it.
class Use {
  public:
    template <class T>
    explicit Use(Guarded<T>& structure) : busy_(&structure.busy) {
        if (*busy_) throw InputError("another thread is working on this structure: give each thread its own");
        *busy_ = true;
    }
    ~Use() { *busy_ = false; }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

  private:
    bool* busy_;
};

// Looks for Ctrl-C while the GIL is released, and asks `proceed`, unless it is None, whether to go on.
class Signals : public Poll {
  public:
    explicit Signals(nb::object proceed = nb::none()) : proceed_(std::move(proceed)) {}

  protected:
    bool ask() override {
        Held acquire;
        if (PyErr_CheckSignals() != 0) throw nb::python_error();
        return proceed_.is_none() || nb::cast<bool>(proceed_());
    }

  private:
    nb::object proceed_;
};

}  // namespace bdnn
