// A sliding percentile of each pixel over time, and the relative change against it.
//
// One point came and at most one went, so the value of a rank is what it was before, or the next one below or above in
// the new window: one pass over the window tells which (kernels/baseline.py). The percentile between two ranks is taken
// in whole numbers of 2^-48 counts and rounded once to float32.

constexpr int RUN = 4;
constexpr int SHARE_BITS = 48;

struct __align__(8) Run {
    u16 count[RUN];
};

struct Order {
    u32 below, same, under, over, second;  // of the pivot: counted, counted, highest below, the two lowest above
};

__device__ inline void compare(Order& order, u32 value, u32 pivot) {
    order.below += value < pivot;
    order.same += value == pivot;
    order.under = larger(order.under, value < pivot ? value : 0);
    const u32 above = value > pivot ? value : TOP;
    order.second = smaller(order.second, larger(order.over, above));
    order.over = smaller(order.over, above);
}

// Puts an image at place `at` of the ring (window, stride), of whose places `count` are filled, and advances pivots
// (stride,) and baseline (pixels,). The stride is a multiple of four. Grid (ceil(stride / 1024)), block (256).
__global__ void __launch_bounds__(THREADS)
slide_baseline(const u16* image, s64 pixels, s64 stride, int at, int count, int rank, u64 share, u16* ring, u16* pivots,
               float* baseline) {
    const s64 first = RUN * thread_of_launch();
    if (first >= stride) return;
    Run own = {}, pivot = *reinterpret_cast<const Run*>(pivots + first);
#pragma unroll
    for (int i = 0; i < RUN; ++i)
        if (first + i < pixels) own.count[i] = image[first + i];
    *reinterpret_cast<Run*>(ring + at * stride + first) = own;

    Order order[RUN];
#pragma unroll
    for (int i = 0; i < RUN; ++i) {
        order[i] = {0, 0, 0, TOP, TOP};
        compare(order[i], own.count[i], pivot.count[i]);
    }
#pragma unroll 4
    for (int k = 0; k < count; ++k) {
        if (k == at) continue;
        const Run point = *reinterpret_cast<const Run*>(ring + k * stride + first);
#pragma unroll
        for (int i = 0; i < RUN; ++i) compare(order[i], point.count[i], pivot.count[i]);
    }

#pragma unroll
    for (int i = 0; i < RUN; ++i) {
        const Order& now = order[i];
        const u32 wanted = rank, upto = now.below + now.same, middle = pivot.count[i];
        u32 low = now.over, high = now.second;
        if (wanted < now.below) {
            low = now.under;
            high = upto > now.below ? middle : now.over;
        } else if (wanted < upto) {
            low = middle;
            high = wanted + 1 < upto ? middle : now.over;
        }
        pivot.count[i] = u16(low);
        const u64 between = share ? (u64(low) << SHARE_BITS) + (high - low) * share : u64(low) << SHARE_BITS;
        if (first + i < pixels) baseline[first + i] = float(between) * (1.0f / (1ull << SHARE_BITS));
    }
    *reinterpret_cast<Run*>(pivots + first) = pivot;
}

// (image - baseline) / max(baseline - background, floor). The background comes in two parts, so that a number of counts
// that float32 cannot hold does not spoil a difference near 0. Grid (ceil(pixels / 256)), block (256).
__global__ void __launch_bounds__(THREADS)
change_from_baseline(const u16* image, const float* baseline, s64 pixels, float background, float beyond, float floor,
                     float* change) {
    const s64 at = thread_of_launch();
    if (at >= pixels) return;
    const float before = baseline[at], ground = (before - background) - beyond;
    change[at] = (float(image[at]) - before) / (ground > floor ? ground : floor);
}
