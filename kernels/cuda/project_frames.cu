// Maximum, minimum and sum of each pixel over the frames of a launch, put together with those there are; means from sums.

// A thread has two neighbouring pixels, and goes through all frames, 65536 at most: what is kept is read and written
// once. Grid (ceil(pixels / 512)), block (256).
__global__ void __launch_bounds__(THREADS)
project_frames(const u16* frames, int count, s64 pixels, u16* high, u16* low, u64* total) {
    const s64 at = 2 * thread_of_launch();
    if (at >= pixels) return;
    const bool both = at + 1 < pixels, words = both && pixels % 2 == 0 && begins_a_word(frames);
    u32 most[2] = {}, least[2] = {TOP, TOP}, sum[2] = {};
#pragma unroll 4
    for (int k = 0; k < count; ++k) {
        const u16* pair = frames + k * pixels + at;
        const u32 word = words ? *reinterpret_cast<const u32*>(pair) : pair[0] | (both ? u32(pair[1]) << 16 : 0);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const u32 value = i ? word >> 16 : word & TOP;
            most[i] = larger(most[i], value);
            least[i] = smaller(least[i], value);
            sum[i] += value;
        }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        if (i && !both) break;
        high[at + i] = u16(larger(high[at + i], most[i]));
        low[at + i] = u16(smaller(low[at + i], least[i]));
        total[at + i] += sum[i];
    }
}

// rint(total / count), halves to the even neighbour. Grid (ceil(pixels / 256)), block (256).
__global__ void __launch_bounds__(THREADS)
mean_of_frames(const u64* total, s64 pixels, u64 count, u16* mean) {
    const s64 at = thread_of_launch();
    if (at >= pixels) return;
    const u64 quotient = total[at] / count, twice = 2 * (total[at] - quotient * count);
    mean[at] = u16(quotient + (twice > count || (twice == count && (quotient & 1))));
}
