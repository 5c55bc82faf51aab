//! What a person brings: a file, or numbers as text.

use wasm_bindgen::prelude::wasm_bindgen;

use crate::arrays;
use crate::arrays::types::{Float, Stored};
use crate::failure::{Outcome, failure};

/// An array of f32 in C order.
#[wasm_bindgen]
pub struct Logits {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
    stored: String,
}

#[wasm_bindgen]
impl Logits {
    /// The array in a .npy file's bytes.
    #[wasm_bindgen(js_name = fromNpy)]
    pub fn from_npy(bytes: &[u8]) -> Outcome<Logits> {
        let (header, values) = arrays::read(bytes).map_err(failure)?;
        let exact = matches!(header.stored, Stored::Float(Float::F16 | Float::F32) | Stored::Bool);
        let stored = match exact {
            true => header.stored.to_string(),
            false => format!("{}, rounded to f32", header.stored),
        };
        Logits::checked(header.shape, values, stored)
    }

    /// A row for every line, or for every innermost bracket; numbers apart by spaces, commas or semicolons.
    #[wasm_bindgen(js_name = fromText)]
    pub fn from_text(text: &str) -> Outcome<Logits> {
        let text = text.replace('[', " ").replace(']', "\n").replace('−', "-").replace('∞', "inf");
        let mut values = Vec::new();
        let mut first = None;
        let mut rows = 0;
        for line in text.lines() {
            let before = values.len();
            let words = line.split(|letter: char| letter.is_whitespace() || ",;".contains(letter));
            for word in words.filter(|word| !word.is_empty()) {
                let number = word.parse::<f32>();
                values.push(number.map_err(|_| {
                    let word: String = word.chars().take(40).collect();
                    failure(format!("“{word}” in row {} is not a number", rows + 1))
                })?);
            }
            let length = values.len() - before;
            if length == 0 {
                continue;
            }
            rows += 1;
            let classes = *first.get_or_insert(length);
            if length != classes {
                let message = format!("row 1 has {classes} number(s), and row {rows} has {length}");
                return Err(failure(message));
            }
        }
        match first {
            None => Err(failure("there are no numbers yet")),
            Some(classes) if rows == 1 => Logits::checked(vec![classes], values, "text".into()),
            Some(classes) => Logits::checked(vec![rows, classes], values, "text".into()),
        }
    }

    #[wasm_bindgen(getter)]
    pub fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    /// What the numbers were, in words.
    #[wasm_bindgen(getter)]
    pub fn stored(&self) -> String {
        self.stored.clone()
    }

    fn checked(shape: Vec<usize>, values: Vec<f32>, stored: String) -> Outcome<Logits> {
        match shape.len() {
            0 => Err(failure("it holds a single number without an axis: a row of logits is needed")),
            _ if values.is_empty() => Err(failure("it holds no numbers at all")),
            _ => Ok(Logits { shape, values, stored }),
        }
    }
}
