// Products of small matrices by BLAS, whose routines come from SciPy (see bindings_search.cpp).
#pragma once

#include <algorithm>

#include "search/loops.hpp"

namespace bdnn::search {

using loops::Index;

template <class Real>
struct Gemm {
    using Routine = void(char*, char*, int*, int*, int*, Real*, Real*, int*, Real*, int*, Real*, Real*, int*);

    // C of shape (m, n) = A B, both by row; A is stored as (k, m) if it is transposed, B as (n, k).
    void operator()(bool transposed_a, bool transposed_b, Index m, Index n, Index k, const Real* A, const Real* B,
                    Real* C) const {
        if (m == 0 || n == 0) return;
        if (k == 0) {
            std::fill(C, C + m * n, Real(0));
            return;
        }
        // by column, these are the transposes: C^T = B^T A^T
        int rows = static_cast<int>(m), columns = static_cast<int>(n), inner = static_cast<int>(k);
        int lda = transposed_a ? rows : inner, ldb = transposed_b ? inner : columns;
        char first = transposed_b ? 'T' : 'N', second = transposed_a ? 'T' : 'N';
        Real one = 1, zero = 0;
        routine(&first, &second, &columns, &rows, &inner, &one, const_cast<Real*>(B), &ldb, const_cast<Real*>(A), &lda,
                &zero, C, &columns);
    }

    Routine* routine = nullptr;
};

}  // namespace bdnn::search
