// The foreground of a stack: a Gaussian in whole numbers, whose weights add up to 256, and what is above a level.
//
// As kernels/foreground.py has it: along z and y in 32 bits, rounded by eight bits, then along x; pixels beyond the
// border equal those at it. No sum leaves 32 bits.

constexpr int REACH = 32;  // pixels that the Gaussian goes to either side along y and x, at most
constexpr int PART_X = 32, PART_Y = 8;

struct Stack {
    const u16* pixels;  // (depth, height, width)
    int depth, height, width;
};

struct Weights {
    const u32* value;  // (2 * radius + 1,)
    int radius;
};

__device__ inline int inside(int at, int size) { return at < 0 ? 0 : shorter(at, size - 1); }

__device__ inline u32 smooth_z(const Stack& stack, int z, int y, int x, const Weights& along) {
    const u16* column = stack.pixels + s64(y) * stack.width + x;
    const s64 plane = s64(stack.height) * stack.width;
    u32 sum = 0;
    for (int i = -along.radius; i <= along.radius; ++i)
        sum += along.value[i + along.radius] * column[inside(z + i, stack.depth) * plane];
    return sum;
}

// The smoothed pixels that the level is taken from: every `rows`-th row of the stack, of row i every `columns`-th pixel
// from i % columns on. Grid (rows taken, ceil(width / 256)), block (256).
__global__ void __launch_bounds__(THREADS)
sample_stack(const u16* pixels, int depth, int height, int width, const u32* along_z, int radius_z, const u32* along_yx,
             int radius, int rows, int columns, u32* samples) {
    __shared__ u32 row[THREADS + 2 * REACH];
    const Stack stack = {pixels, depth, height, width};
    const Weights beside = {along_z, radius_z};
    const int line = blockIdx.x, left = blockIdx.y * THREADS;
    const s64 taken = s64(line) * rows;
    const int z = int(taken / height), y = int(taken % height);
    for (int i = threadIdx.x; i < THREADS + 2 * radius; i += THREADS) {
        const int x = inside(left + i - radius, width);
        u32 sum = 0;
        for (int j = -radius; j <= radius; ++j)
            sum += along_yx[j + radius] * smooth_z(stack, z, inside(y + j, height), x, beside);
        row[i] = (sum + 128) >> 8;
    }
    __syncthreads();
    const int x = left + threadIdx.x, turn = line % columns;
    if (x >= width || x % columns != turn) return;
    u32 sum = 0;
    for (int j = 0; j <= 2 * radius; ++j) sum += along_yx[j] * row[threadIdx.x + j];
    // All columns have had their turn in each full round before; then come the turns of this round.
    s64 before = s64(line / columns) * width;
    for (int i = 0; i < turn && i < width; ++i) before += (width - i + columns - 1) / columns;
    samples[before + x / columns] = sum;
}

// The mask, the number of its pixels, and which chunks have none (set before the launch, cleared here). Grid
// (ceil(width / 32), ceil(height / 8), depth), block (32, 8).
__global__ void __launch_bounds__(PART_X * PART_Y)
mask_stack(const u16* pixels, int depth, int height, int width, const u32* along_z, int radius_z, const u32* along_yx,
           int radius, u32 level, int chunk_z, int chunk_y, int chunk_x, u8* mask, u8* background, u64* foreground) {
    constexpr int WIDE = PART_X + 2 * REACH;
    __shared__ u32 tall[(PART_Y + 2 * REACH) * WIDE];
    __shared__ u32 flat[PART_Y * WIDE];
    const Stack stack = {pixels, depth, height, width};
    const Weights beside = {along_z, radius_z};
    const int thread = threadIdx.y * PART_X + threadIdx.x;
    const int z = blockIdx.z, top = blockIdx.y * PART_Y, left = blockIdx.x * PART_X;
    const int wide = PART_X + 2 * radius, high = PART_Y + 2 * radius;
    for (int i = thread; i < high * wide; i += PART_X * PART_Y) {
        const int row = i / wide, column = i % wide;
        const int y = inside(top + row - radius, height), x = inside(left + column - radius, width);
        tall[row * WIDE + column] = smooth_z(stack, z, y, x, beside);
    }
    __syncthreads();
    for (int i = thread; i < PART_Y * wide; i += PART_X * PART_Y) {
        const int row = i / wide, column = i % wide;
        u32 sum = 0;
        for (int j = 0; j <= 2 * radius; ++j) sum += along_yx[j] * tall[(row + j) * WIDE + column];
        flat[row * WIDE + column] = (sum + 128) >> 8;
    }
    __syncthreads();
    const int y = top + threadIdx.y, x = left + threadIdx.x;
    bool above = false;
    if (y < height && x < width) {
        u32 sum = 0;
        for (int j = 0; j <= 2 * radius; ++j) sum += along_yx[j] * flat[threadIdx.y * WIDE + threadIdx.x + j];
        above = sum > level;
        mask[(s64(z) * height + y) * width + x] = above;
        if (above) {
            const int chunks_y = (height + chunk_y - 1) / chunk_y, chunks_x = (width + chunk_x - 1) / chunk_x;
            u8* flag = background + (s64(z / chunk_z) * chunks_y + y / chunk_y) * chunks_x + x / chunk_x;
            if (*flag) *flag = 0;  // whoever comes first, it is the same
        }
    }
    const u64 count = block_sum(above);
    if (thread == 0 && count) atomicAdd(foreground, count);
}
