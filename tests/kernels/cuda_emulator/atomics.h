// What kernels use of CUDA besides what the emulator itself has. On one CPU thread every access
// is atomic.
#pragma once

#include <cmath>

template <class T, class V> T atomicAdd(T* at, V value) {
    const T before = *at;
    *at = before + value;
    return before;
}

inline unsigned long long atomicMax(unsigned long long* at, unsigned long long value) {
    const unsigned long long before = *at;
    if (value > before) *at = value;
    return before;
}

inline float __int_as_float(int bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline int __popc(unsigned value) { return __builtin_popcount(value); }
