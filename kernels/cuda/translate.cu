// An image moved: out(y, x) from (y + dy + fy / 256, x + dx + fx / 256), linear between pixels, halves to the even
// neighbour; `fill` where the image has no data. Grid (ceil(width / 32), ceil(height / 8)), block (32, 8).

__global__ void __launch_bounds__(256)
translate(const u16* image, int height, int width, int dy, int fy, int dx, int fx, u16 fill, u16* moved) {
    const int y = blockIdx.y * 8 + threadIdx.y, x = blockIdx.x * WARP + threadIdx.x;
    if (y >= height || x >= width) return;
    // With no part of a pixel to go, the next neighbour is not needed, and need not be there.
    const int top = y + dy, left = x + dx, down = fy > 0, right = fx > 0;
    u32 value = fill;
    if (top >= 0 && top + down < height && left >= 0 && left + right < width) {
        const u16* upper = image + s64(top) * width + left;
        const u16* lower = upper + (down ? width : 0);
        const u32 gy = 256 - fy, gx = 256 - fx;
        const u32 total = gx * (gy * upper[0] + fy * lower[0]) + fx * (gy * upper[right] + fy * lower[right]);
        value = (total + 32767 + (total >> 16 & 1u)) >> 16;
    }
    moved[s64(y) * width + x] = u16(value);
}
