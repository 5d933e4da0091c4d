//! The nonce of a box stream: a 24-byte big-endian counter that wraps around.

use crate::primitives::Nonce;

/// Adds `amount` to a nonce, modulo 2^192.
pub(crate) fn advance(nonce: &mut Nonce, amount: u8) {
    let mut carry = u16::from(amount);
    for byte in nonce.iter_mut().rev() {
        if carry == 0 {
            return;
        }
        let sum = u16::from(*byte) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
}

/// The nonce that follows this one by `amount`.
pub(crate) fn after(nonce: &Nonce, amount: u8) -> Nonce {
    let mut next = *nonce;
    advance(&mut next, amount);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_over_all_bytes_and_wraps() {
        let mut nonce = [0xff; 24];
        advance(&mut nonce, 2);
        let mut one = [0; 24];
        one[23] = 1;
        assert_eq!(nonce, one, "all ones plus two is one");
        let mut nonce = [0; 24];
        nonce[22] = 1;
        nonce[23] = 0xff;
        advance(&mut nonce, 1);
        assert_eq!(nonce[22..], [2, 0], "the last byte carries into the one before");
    }
}
