//! The first Salsa20 block for several nonces of one key at once, and nothing else of the cipher.
//!
//! The headers of a box stream are 18 bytes under a nonce each, so a library's XSalsa20 spends its
//! time on setup. Their keystream does not depend on the data. Therefore the keystream of the next
//! headers is computed together here, in the lanes of vectors. No branch and no index depends on a
//! secret.

/// How many nonces are computed at once: a vector of 128 bits, which every machine has, holds this
/// many words.
pub(crate) const LANES: usize = 4;

/// One block of keystream.
pub(crate) type Block = [u8; 64];

/// The words of a cipher's state, each with one element for each lane.
type State = [[u32; LANES]; 16];

/// "expand 32-byte k", the constant of the cipher, as little-endian words.
const CONSTANT: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// The cipher has 20 rounds: 10 over the columns and 10 over the rows.
const DOUBLE_ROUNDS: usize = 10;

/// Writes the block with counter 0 under each nonce.
pub(crate) fn first_blocks(key: &[u8; 32], nonces: &[[u8; 8]; LANES], blocks: &mut [Block; LANES]) {
    let start = state(key, nonces);
    let mut x = start;
    for _ in 0..DOUBLE_ROUNDS {
        // The compiler turns this loop into vector instructions, because no lane depends on
        // another.
        for lane in 0..LANES {
            double_round(&mut x, lane);
        }
    }
    for (i, (word, first)) in x.iter().zip(&start).enumerate() {
        for (lane, block) in blocks.iter_mut().enumerate() {
            let sum = word[lane].wrapping_add(first[lane]);
            block[4 * i..4 * i + 4].copy_from_slice(&sum.to_le_bytes());
        }
    }
}

/// What the rounds begin with: constant, key, nonce and counter, which is 0.
fn state(key: &[u8; 32], nonces: &[[u8; 8]; LANES]) -> State {
    core::array::from_fn(|place| match place {
        0 => [CONSTANT[0]; LANES],
        1..=4 => [word(key, place - 1); LANES],
        5 => [CONSTANT[1]; LANES],
        6 | 7 => core::array::from_fn(|lane| word(&nonces[lane], place - 6)),
        8 | 9 => [0; LANES],
        10 => [CONSTANT[2]; LANES],
        11..=14 => [word(key, place - 7); LANES],
        _ => [CONSTANT[3]; LANES],
    })
}

fn word(bytes: &[u8], i: usize) -> u32 {
    u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]])
}

#[inline(always)]
fn double_round(x: &mut State, lane: usize) {
    // The columns, each from its place on the diagonal.
    quarter_round(x, lane, [0, 4, 8, 12]);
    quarter_round(x, lane, [5, 9, 13, 1]);
    quarter_round(x, lane, [10, 14, 2, 6]);
    quarter_round(x, lane, [15, 3, 7, 11]);
    // The rows.
    quarter_round(x, lane, [0, 1, 2, 3]);
    quarter_round(x, lane, [5, 6, 7, 4]);
    quarter_round(x, lane, [10, 11, 8, 9]);
    quarter_round(x, lane, [15, 12, 13, 14]);
}

#[inline(always)]
fn quarter_round(x: &mut State, lane: usize, [a, b, c, d]: [usize; 4]) {
    x[b][lane] ^= x[a][lane].wrapping_add(x[d][lane]).rotate_left(7);
    x[c][lane] ^= x[b][lane].wrapping_add(x[a][lane]).rotate_left(9);
    x[d][lane] ^= x[c][lane].wrapping_add(x[b][lane]).rotate_left(13);
    x[a][lane] ^= x[d][lane].wrapping_add(x[c][lane]).rotate_left(18);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives;
    use zeroize::Zeroizing;

    /// XSalsa20-Poly1305 of 32 zeros shows the second half of the first block, and its tag depends
    /// on the first half.
    #[test]
    fn agrees_with_the_library_in_every_lane() {
        let key = Zeroizing::new(core::array::from_fn(|i| (i * 37 + 5) as u8));
        let nonce = |lane: u8| core::array::from_fn(|i| i as u8 ^ if i < 16 { 0 } else { lane });
        let nonces: [[u8; 24]; LANES] = core::array::from_fn(|lane| nonce(lane as u8 * 51));
        let prefix = core::array::from_fn(|i| nonces[0][i]);
        let subkey = primitives::subkey(&key, &prefix);
        let mut blocks = [[0; 64]; LANES];
        let ends = core::array::from_fn(|lane| core::array::from_fn(|i| nonces[lane][16 + i]));
        first_blocks(&subkey, &ends, &mut blocks);
        for (lane, (block, nonce)) in blocks.iter().zip(&nonces).enumerate() {
            let mut data = [0; 32];
            let tag = primitives::seal(&mut data, nonce, &key);
            assert_eq!(block[32..], data, "the keystream of lane {lane}");
            let first = core::array::from_fn(|i| block[i]);
            assert!(primitives::is_one_time_tag(&tag, &first, &data), "the tag key of lane {lane}");
        }
    }
}
