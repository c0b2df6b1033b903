//! Mutations of stored inputs, the same at every run: bits, bytes, pieces that go, come twice or change places.

/// A stream of numbers that a seed decides.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        // Xorshift: spread is all that is asked of it.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let number = usize::try_from(self.0 >> 16).unwrap_or(usize::MAX);
        number.checked_rem(bound).unwrap_or(0)
    }
}

/// Changes some bytes; `other` lends pieces.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        let end = at + numbers.below(bytes.len() - at.min(bytes.len())).min(64);
        match numbers.below(6) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = INTERESTING.get(numbers.below(INTERESTING.len())).copied().unwrap_or(0);
                }
            }
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes.get(at..end).unwrap_or_default().to_vec();
                let to = numbers.below(bytes.len());
                drop(bytes.splice(to..to, piece));
            }
            4 => {
                let from = numbers.below(other.len());
                let length = numbers.below(other.len() - from.min(other.len())).min(64);
                let piece = other.get(from..from + length).unwrap_or_default().to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => bytes.truncate(at),
        }
    }
}

/// Bytes at the edges of numbers and of the configuration language.
const INTERESTING: &[u8] = b"\0\x01\x7f\x80\xff\"'\\{}$~@#! \n\r\t-/.:09";
