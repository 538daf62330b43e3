//! Where the code of an item's factor is.
//!
//! A block holds the codes of its items in groups of four factors: byte 4i + j of the 32-byte
//! vector v of a group holds factor j of the item 16v + i in its low half and of the item 16v + 8 +
//! i in its high half. So one layout serves kernels with vectors of 32 and of 64 bytes. Factors and
//! items that pad the last group and block have code 0.

/// Items per block.
pub const BLOCK_ITEMS: usize = 64;
/// Factors per group.
pub(super) const GROUP: usize = 4;
/// Bytes of a group of factors of a block.
pub(super) const GROUP_BYTES: usize = BLOCK_ITEMS * GROUP / 2;
/// What is subtracted from a code: the middle of its values.
pub(super) const MIDDLE: f32 = 7.5;

/// Number of blocks.
pub fn blocks(items: usize) -> usize {
    items.div_ceil(BLOCK_ITEMS)
}

/// Bytes of the codes of a block.
pub fn block_bytes(factors: usize) -> usize {
    factors.div_ceil(GROUP) * GROUP_BYTES
}

/// Byte and shift of an item's factor in its block.
fn position(item: usize, factor: usize) -> (usize, usize) {
    let (vector, high, lane) = (item / 16, item / 8 % 2, item % 8);
    (factor / GROUP * GROUP_BYTES + vector * 32 + lane * GROUP + factor % GROUP, high * 4)
}

/// Stores the code of a level −7.5 to 7.5.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a code is 0 to 15")]
pub(super) fn put(codes: &mut [u8], item: usize, factor: usize, level: f32) {
    let (byte, shift) = position(item, factor);
    codes[byte] |= ((level + MIDDLE) as u8) << shift;
}

/// Copies the codes of an item of a block to a place of another one, where they are 0.
pub(super) fn copy((from, item): (&[u8], usize), (to, place): (&mut [u8], usize)) {
    /// Low halves of four bytes.
    const LOW: u32 = 0x0f0f_0f0f;
    let ((from_byte, from_shift), (to_byte, to_shift)) = (position(item, 0), position(place, 0));
    for (from, to) in from.chunks_exact(GROUP_BYTES).zip(to.chunks_exact_mut(GROUP_BYTES)) {
        let (from, to) = (&from[from_byte..][..GROUP], &mut to[to_byte..][..GROUP]);
        let four = |bytes: &[u8]| bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let codes = (four(from) >> from_shift & LOW) << to_shift;
        to.copy_from_slice(&(four(&*to) | codes).to_le_bytes());
    }
}

/// Writes the levels of a block's items (items × factors).
pub(super) fn decode_block(codes: &[u8], factors: usize, levels: &mut [f32]) {
    for (item, levels) in levels.chunks_exact_mut(factors.max(1)).enumerate() {
        for (factor, level) in levels.iter_mut().enumerate() {
            let (byte, shift) = position(item, factor);
            *level = f32::from(codes[byte] >> shift & 15) - MIDDLE;
        }
    }
}
