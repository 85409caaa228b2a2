//! A small mutator: the same case is the same input on every machine.

/// Longest input that mutation makes, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// Most mutations of one input.
const MAX_STEPS: usize = 6;

pub(crate) struct Mutator(u64);

impl Mutator {
    pub(crate) fn new(seed: u64, case: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ case.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    /// Returns one input of the corpus, changed a few times.
    pub(crate) fn mutate(mut self, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
        let mut input = self.one_of(corpus).clone();
        for _ in 0..=self.below(MAX_STEPS) {
            self.step(&mut input, corpus, words);
            input.truncate(MAX_BYTES);
        }
        input
    }

    fn step(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str]) {
        match self.below(10) {
            0 => {
                let at = self.below(input.len());
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => input.truncate(self.below(input.len() + 1)),
            2 => {
                let (from, to) = self.range(input.len());
                input.drain(from..to);
            }
            3 => {
                let (from, to) = self.range(input.len());
                let piece = input[from..to].to_vec();
                self.insert(input, &piece);
            }
            4 => {
                let other = self.one_of(corpus);
                let (from, to) = self.range(other.len());
                let piece = other[from..to].to_vec();
                self.insert(input, &piece);
            }
            5 | 6 => {
                let word = *self.one_of(words);
                self.insert(input, word.as_bytes());
            }
            7 => {
                // A word replaces a value at the place of a value.
                let word = *self.one_of(words);
                let ends: Vec<usize> = (0..input.len())
                    .filter(|at| b"\":,} =\n".contains(&input[*at]))
                    .collect();
                if ends.len() > 1 {
                    let index = self.below(ends.len() - 1);
                    input.splice(ends[index] + 1..ends[index + 1], word.bytes());
                }
            }
            _ => self.step_by_line(input, corpus),
        }
    }

    /// Mutates lines as inputs of their own: they are left out, doubled, moved, or come from
    /// another script.
    fn step_by_line(&mut self, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let mut lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
        let (from, to) = (self.below(lines.len()), self.below(lines.len()));
        match self.below(4) {
            0 => drop(lines.remove(from)),
            1 => lines.insert(to, lines[from]),
            2 => lines.swap(from, to),
            _ => {
                let others: Vec<&[u8]> = self.one_of(corpus).split(|byte| *byte == b'\n').collect();
                lines.insert(to, others[self.below(others.len())]);
            }
        }
        *input = lines.join(&b'\n');
    }

    fn insert(&mut self, input: &mut Vec<u8>, piece: &[u8]) {
        let at = self.below(input.len() + 1);
        input.splice(at..at, piece.iter().copied());
    }

    fn range(&mut self, length: usize) -> (usize, usize) {
        let (a, b) = (self.below(length + 1), self.below(length + 1));
        (a.min(b), a.max(b))
    }

    fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Returns a number below `end`; 0 if there is none.
    fn below(&mut self, end: usize) -> usize {
        // SplitMix64, by Sebastiano Vigna.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let bits = (bits ^ (bits >> 31)) % u64::try_from(end.max(1)).unwrap();
        usize::try_from(bits).unwrap()
    }
}
