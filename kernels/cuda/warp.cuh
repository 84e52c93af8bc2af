// Values of the 32 threads of a warp put together; every thread of the warp calls, and gets the result.

constexpr int WARP = 32;
constexpr u32 EVERY = 0xffffffffu;

template <class T> __device__ inline T warp_sum(T value) {
#pragma unroll
    for (int step = WARP / 2; step; step /= 2) value += __shfl_xor_sync(EVERY, value, step);
    return value;
}

__device__ inline u32 warp_larger(u32 value) {
#pragma unroll
    for (int step = WARP / 2; step; step /= 2) value = larger(value, __shfl_xor_sync(EVERY, value, step));
    return value;
}
