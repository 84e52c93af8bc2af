// The threads of a block together, and one after another of a launch.

constexpr int THREADS = 256;

__device__ inline s64 thread_of_launch() { return s64(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline bool begins_a_word(const void* at) { return reinterpret_cast<u64>(at) % 16 == 0; }

// Sum over a block of up to 1024 threads, all of which call; right in the first of them.
__device__ inline u64 block_sum(u64 value) {
    __shared__ u64 share[32];
    const int thread = threadIdx.y * blockDim.x + threadIdx.x, warps = blockDim.x * blockDim.y / WARP;
    value = warp_sum(value);
    __syncthreads();  // the first thread may still read what the call before this one left
    if (thread % WARP == 0) share[thread / WARP] = value;
    __syncthreads();
    if (thread == 0)
        for (int i = 1; i < warps; ++i) value += share[i];
    return value;
}
