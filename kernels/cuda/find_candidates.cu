// Places that became brighter: smoothing, relative change, and the cells that none nearby surpasses, in reading order.
//
// float32, operation for operation as kernels/gaussian.py and kernels/candidates.py; compiled without fused
// multiplication and addition, so that the bits are the same.

// Smooths along y or x; edge cells repeat. Grid (ceil(width / 32), ceil(height / 8)), block (32, 8).
__global__ void __launch_bounds__(256)
smooth_cells(const float* image, int height, int width, int along_y, const float* weights, int reach, float* smoothed) {
    const int y = blockIdx.y * 8 + threadIdx.y, x = blockIdx.x * WARP + threadIdx.x;
    if (y >= height || x >= width) return;
    const int place = along_y ? y : x, last = (along_y ? height : width) - 1;
    const s64 step = along_y ? width : 1;
    const float* line = image + (along_y ? x : s64(y) * width);
    float sum = weights[0] * line[place * step];
    for (int i = 1; i <= reach; ++i) {
        const float before = line[(place > i ? place - i : 0) * step], after = line[shorter(place + i, last) * step];
        sum += weights[i] * (before + after);
    }
    smoothed[s64(y) * width + x] = sum;
}

// (now - before) / max(before - background, floor). Grid (ceil(cells / 256)), block (256).
__global__ void __launch_bounds__(THREADS)
change_of_cells(const float* now, const float* before, s64 cells, float background, float floor, float* change) {
    const s64 at = thread_of_launch();
    if (at >= cells) return;
    const float ground = before[at] - background;
    change[at] = (now[at] - before[at]) / (ground > floor ? ground : floor);
}

// Whether no cell within `reach` is higher; of equal ones the first in reading order is the highest.
__device__ inline bool is_highest(const float* change, int height, int width, int y, int x, int reach) {
    const float value = change[s64(y) * width + x];
    const int top = y > reach ? y - reach : 0, left = x > reach ? x - reach : 0;
    for (int i = top; i <= shorter(y + reach, height - 1); ++i)
        for (int j = left; j <= shorter(x + reach, width - 1); ++j) {
            const float other = change[s64(i) * width + j];
            if (other > value || (other == value && (i < y || (i == y && j < x)))) return false;
        }
    return true;
}

// The candidates of each row in order: their columns (height, places) and their number (height,). Two of a row are more
// than `reach` apart, so ceil(width / (reach + 1)) places are enough. Grid (ceil(height / 8)), block (32, 8).
__global__ void __launch_bounds__(256)
find_candidates(const float* change, int height, int width, float threshold, int reach, int places, int* columns,
                int* counts) {
    const int y = blockIdx.x * 8 + threadIdx.y, lane = threadIdx.x;
    if (y >= height) return;
    int found = 0;
    for (int first = 0; first < width; first += WARP) {
        const int x = first + lane;
        // The nearest neighbours rule nearly every cell out.
        const bool highest = x < width && change[s64(y) * width + x] > threshold &&
                             is_highest(change, height, width, y, x, 1) &&
                             is_highest(change, height, width, y, x, reach);
        const u32 together = warp_sum(u32(highest) << lane);
        if (highest) columns[s64(y) * places + found + __popc(together & ((1u << lane) - 1))] = x;
        found += __popc(together);
    }
    if (lane == 0) counts[y] = found;
}

struct Candidate {
    int y, x;
    float score;
};

// The rows one after another. Grid (1), block (256).
__global__ void __launch_bounds__(THREADS)
list_candidates(const float* change, int height, int width, int places, const int* columns, const int* counts,
                int* number, Candidate* list) {
    __shared__ int upto[THREADS];
    const int thread = threadIdx.x, share = (height + THREADS - 1) / THREADS;
    const int first = thread * share, last = shorter(first + share, height);
    int own = 0;
    for (int y = first; y < last; ++y) own += counts[y];
    upto[thread] = own;
    for (int step = 1; step < THREADS; step *= 2) {
        __syncthreads();
        const int before = thread >= step ? upto[thread - step] : 0;
        __syncthreads();
        upto[thread] += before;
    }
    int at = upto[thread] - own;
    for (int y = first; y < last; ++y)
        for (int i = 0; i < counts[y]; ++i, ++at) {
            const int x = columns[s64(y) * places + i];
            list[at] = {y, x, change[s64(y) * width + x]};
        }
    if (thread == THREADS - 1) *number = upto[thread];
}
