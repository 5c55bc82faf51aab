//! Corpora as ordinary tests: every file, and what becomes of it when bytes change, vanish and double. Always the same,
//! and as many as `FUZZ_ROUNDS` says.

use std::fs;
use std::path::Path;

/// Calls `check` with every file of the corpus in `folder`, then with mutations of them.
pub fn run(folder: &Path, check: impl Fn(&[u8])) {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(corpus.len() > 2, "{} is empty", folder.display());
    corpus.iter().for_each(|bytes| check(bytes));

    let rounds = std::env::var("FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3000);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % limit.max(1) as u64) as usize
    };
    for round in 0..rounds {
        let mut bytes = corpus[round % corpus.len()].clone();
        for _ in 0..=below(6) {
            let place = below(bytes.len() + 1);
            let length = below(9).min(bytes.len() - place);
            match below(6) {
                0 => bytes.truncate(place),
                1 => drop(bytes.drain(place..place + length)),
                2 => bytes.extend_from_within(place..place + length),
                3 => bytes.insert(place, [0, 1, 0x7f, 0x80, 0xff, b'9', b',', b'('][below(8)]),
                4 if length > 0 => bytes[place] ^= 1 << below(8),
                _ if length > 0 => bytes[place] = below(256) as u8,
                _ => {}
            }
        }
        check(&bytes);
    }
}
