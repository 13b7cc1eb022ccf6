// Arrays that come from Python: what passes here has the type, the number of dimensions and the layout that kernels rely
// on; anything else raises bdnn.errors.InputError.
#pragma once

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

namespace bdnn {

namespace nb = nanobind;

// Take the interpreter's lock by a function of Python's. A thread that asks for it when the interpreter ends is ended
// right there (before Python 3.14), by an unwinding that may not pass through C++: it sleeps until the process is over.
template <class Take>
auto taken(const Take& take) {
    const auto sleep = [] { std::this_thread::sleep_for(std::chrono::seconds(1)); };
    while (!Py_IsInitialized()) sleep();
    try {
        return take();
    } catch (...) {
        while (true) sleep();
    }
}

// While it lives, other threads may run Python.
class Released {
  public:
    Released() : state_(PyEval_SaveThread()) {}
    Released(const Released&) = delete;
    Released& operator=(const Released&) = delete;
    ~Released() {
        taken([this] { PyEval_RestoreThread(state_); });
    }

  private:
    PyThreadState* state_;
};

// While it lives, this thread may run Python.
class Held {
  public:
    Held() : state_(taken([] { return PyGILState_Ensure(); })) {}
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() { PyGILState_Release(state_); }

  private:
    PyGILState_STATE state_;
};

// Becomes bdnn.errors.InputError in Python (see module.cpp).
struct InputError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

[[noreturn]] inline void refuse(const char* name, const std::string& reason) {
    throw InputError(std::string(name) + " " + reason);
}

inline void require(bool holds, const char* name, const char* reason) {
    if (!holds) refuse(name, reason);
}

// A contiguous array of N dimensions in memory that Python owns; `const T` for arrays that are only read. It keeps the
// array alive, so that a structure may hold it.
template <class T, int N>
class Array {
  public:
    using Held = nb::ndarray<T, nb::numpy, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

    Array() = default;

    Array(nb::handle object, const char* name) {
        if (!nb::try_cast<Held>(object, held_, false)) refuse(name, expected());
        data_ = held_.data();
        for (int k = 0; k < N; ++k) shape_[k] = held_.shape(k);
        // views of bytes may begin anywhere, and hold numbers that no bool is made of
        if (reinterpret_cast<std::uintptr_t>(data_) % alignof(T) != 0) refuse(name, "must be aligned in memory");
        if constexpr (std::is_same_v<std::remove_const_t<T>, bool>) {
            const auto* bytes = reinterpret_cast<const unsigned char*>(data_);
            for (std::size_t i = 0; i < size(); ++i) require(bytes[i] <= 1, name, "must be True or False throughout");
        }
    }

    T* data() const { return data_; }
    std::size_t shape(int k) const { return shape_[k]; }
    std::size_t size() const {
        std::size_t total = 1;
        for (std::size_t each : shape_) total *= each;
        return total;
    }
    T& operator[](std::size_t i) const { return data_[i]; }
    T* row(std::size_t i) const { return data_ + i * shape_[N - 1]; }
    T* begin() const { return data_; }
    T* end() const { return data_ + size(); }

    // Raise InputError unless all values are finite.
    const Array& finite(const char* name) const {
        for (T value : *this)
            if (!std::isfinite(value)) refuse(name, "must be finite");
        return *this;
    }

    // Raise InputError unless axis k has this many entries.
    const Array& sized(int k, std::size_t count, const char* name) const {
        if (shape_[k] != count)
            refuse(name, "must have " + std::to_string(count) + " entries along axis " + std::to_string(k) + ", got " +
                             std::to_string(shape_[k]));
        return *this;
    }

    // Raise InputError unless all values are from `low` to below `high`.
    const Array& within(std::int64_t low, std::int64_t high, const char* name) const {
        for (T value : *this)
            if (value < low || value >= high)
                refuse(name, "must be from " + std::to_string(low) + " to below " + std::to_string(high));
        return *this;
    }

  private:
    static std::string expected() {
        std::string type = nb::dtype<std::remove_const_t<T>>().code == static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float)
                               ? "float"
                               : (std::is_signed_v<T> ? "int" : "uint");
        std::string text = "must be a contiguous array of " + type + std::to_string(8 * sizeof(T)) + " with " +
                           std::to_string(N) + " dimension" + (N == 1 ? "" : "s");
        if (!std::is_const_v<T>) text += " that can be written";
        return text;
    }

    Held held_{};
    T* data_ = nullptr;
    std::size_t shape_[N] = {};
};

template <class T>
using Vector = Array<T, 1>;
template <class T>
using Matrix = Array<T, 2>;

// A new NumPy array of one dimension that takes over a heap array.
template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> owned(T* data, std::size_t count) {
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::ndarray<nb::numpy, T, nb::ndim<1>>(data, {count}, owner);
}

}  // namespace bdnn
