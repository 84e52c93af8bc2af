// Sums and sums of squares of each pixel over the frames of a launch, added to those there are; the moments from them.

// A thread has two neighbouring pixels, and goes through all frames, 65536 at most: the sums are read and written once.
// Grid (ceil(pixels / 512)), block (256).
__global__ void __launch_bounds__(THREADS)
sum_frames(const u16* frames, int count, s64 pixels, u64* total, u64* squares) {
    const s64 at = 2 * thread_of_launch();
    if (at >= pixels) return;
    const bool both = at + 1 < pixels, words = both && pixels % 2 == 0 && begins_a_word(frames);
    u32 first = 0, second = 0;
    u64 first_squares = 0, second_squares = 0;
#pragma unroll 4
    for (int k = 0; k < count; ++k) {
        const u16* pair = frames + k * pixels + at;
        const u32 word = words ? *reinterpret_cast<const u32*>(pair) : pair[0] | (both ? u32(pair[1]) << 16 : 0);
        const u32 a = word & TOP, b = word >> 16;
        first += a;
        second += b;
        first_squares += a * a;
        second_squares += b * b;
    }
    total[at] += first;
    squares[at] += first_squares;
    if (both) {
        total[at + 1] += second;
        squares[at + 1] += second_squares;
    }
}

// Mean, variance, signal to noise and Fano factor, (4, pixels): `moment_maps` of kernels/moments.py, operation for
// operation, so in float64; it is called once a block, not once a frame. Grid (ceil(pixels / 256)), block (256).
__global__ void __launch_bounds__(THREADS)
finish_moments(const u64* total, const u64* squares, s64 pixels, u64 count, double offset, float* maps) {
    const s64 at = thread_of_launch();
    if (at >= pixels) return;
    const u64 sum = total[at], near = (sum + count / 2) / count;
    const double share = double(count), rest = double(s64(sum) - s64(near * count)) / share;
    // Exact in 64 bits even where its terms wrap.
    const u64 about = squares[at] - 2 * near * sum + count * near * near;
    const double spread = double(about) / share - rest * rest, middle = double(near) + rest, signal = middle - offset;
    maps[at] = float(middle);
    maps[pixels + at] = float(spread);
    maps[2 * pixels + at] = spread > 0 ? float(signal / sqrt(spread)) : __int_as_float(0x7fc00000);
    maps[3 * pixels + at] = signal > 0 ? float(spread / signal) : __int_as_float(0x7fc00000);
}
