// Memory of a kernel: zeros that cost nothing until they are used, and work space that only ever grows.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace bdnn {

// An array of a fixed length, zero at first.
template <class T>
class Zeros {
  public:
    Zeros() = default;
    explicit Zeros(std::size_t count) : data_(static_cast<T*>(std::calloc(count ? count : 1, sizeof(T)))), size_(count) {
        if (!data_) throw std::bad_alloc();
    }
    T* data() const { return data_.get(); }
    std::size_t size() const { return size_; }
    T& operator[](std::size_t i) const { return data_[i]; }

  private:
    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T[], Free> data_;
    std::size_t size_ = 0;
};

// Work space: `get` returns room for some values, whose contents are left over from earlier uses.
template <class T>
class Room {
  public:
    T* get(std::size_t count) {
        if (count > size_) {
            data_.reset();  // before the new one is there: what was in it is not needed
            size_ = 0;
            data_.reset(new T[count]);
            size_ = count;
        }
        return data_.get();
    }

  private:
    std::unique_ptr<T[]> data_;
    std::size_t size_ = 0;
};

}  // namespace bdnn
